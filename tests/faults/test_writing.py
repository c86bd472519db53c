"""Whatever fails while a file is written: one sentence, nothing old is lost, no stump is left."""

import errno
import os
import subprocess
import threading

import numpy as np
import pytest

import mpn_lab
from mpn_lab import RecordError, RunError, load_run, resume, save_record, train
from mpn_lab.cli import main
from mpn_lab.files import make_folder, write_whole
from mpn_lab.plotting import new_figure
from mpn_lab.plotting.style import save_figure
from mpn_lab.training.files import LOCK
from mpn_lab.widgets.page import write_explorer_page

CODES = (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT)


@pytest.fixture(scope="module")
def recorded(tiny_run):
    return mpn_lab.record(tiny_run, trials=2)


def hidden(folder):
    return [path.name for path in folder.rglob(".*")]


def assert_one_sentence(error):
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_a_training_at_every_single_write(
    tiny_run, tiny_config, content, disk, tmp_path, monkeypatch
):
    """The disk is full, read-only or broken from the n-th call on; then it works again."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # slow, and no power is cut here
    with disk() as counted:
        train(tiny_config(), tmp_path / "whole", progress=False)
    expected = content(tiny_run.path)
    assert content(tmp_path / "whole") == expected
    assert len(counted.calls) > 50
    for n, name in enumerate(counted.calls):
        path, code = tmp_path / str(n), CODES[n % len(CODES)]
        with disk(n, code), pytest.raises(RunError) as error:
            train(tiny_config(), path, progress=False)
        assert os.strerror(code) in str(error.value), name
        assert_one_sentence(error)
        assert not path.exists() or hidden(path) == []
        if (path / "config.json").exists():
            before = content(path)
            with disk(0, code), pytest.raises(RunError) as error:
                resume(path, progress=False)
            assert_one_sentence(error)
            assert content(path) == before
            resume(path, progress=False)
        else:
            train(tiny_config(), path, progress=False)
        assert content(path) == expected, (n, name)


def figure():
    made = new_figure(1, 1)
    made.subplots().plot([0, 1])
    return made


WRITERS = {
    "record": (lambda path, recorded: save_record(recorded, path), RecordError),
    "picture.png": (lambda path, recorded: save_figure(figure(), path), OSError),
    "picture.svg": (lambda path, recorded: save_figure(figure(), path), OSError),
    "page.html": (
        lambda path, recorded: write_explorer_page(path, "t", "monitor.js", {}, {}),
        OSError,
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_records_pictures_and_pages_at_every_single_write(name, recorded, disk, tmp_path):
    write, kind = WRITERS[name]
    path = tmp_path / name
    write(path, recorded)  # all imports done
    with disk() as counted:
        write(path, recorded)
    assert counted.calls == ["open", "write", "fsync", "replace", "open", "fsync"]
    for n in range(len(counted.calls)):
        for code in CODES:
            for lasting in (False, True):
                path.write_bytes(b"old")
                with disk(n, code, lasting), pytest.raises(kind, match=os.strerror(code)) as error:
                    write(path, recorded)
                assert_one_sentence(error)
                assert list(tmp_path.iterdir()) == [path]
                assert (path.read_bytes() == b"old") == (n < 4)  # then its folder is synced
    path.unlink()
    with disk(1), pytest.raises(kind):
        write(path, recorded)
    assert list(tmp_path.iterdir()) == []


def test_explorers_and_the_command_line_write_whole_pictures(recorded, run_copy, disk, tmp_path):
    explorer = mpn_lab.TrialExplorer(recorded)
    for path, write in (
        (tmp_path / "trial.pdf", explorer.save),
        (tmp_path / "trial.html", explorer.to_html),
    ):
        path.write_bytes(b"old")
        with disk(1), pytest.raises(OSError, match="No space left"):
            write(path)
        assert path.read_bytes() == b"old"
    picture = run_copy / "trial.png"
    picture.write_bytes(b"old")
    with disk(1), pytest.raises(SystemExit, match=r"^error: .*No space left"):
        main(["plot", str(run_copy)])
    assert picture.read_bytes() == b"old"
    assert hidden(run_copy) == []


def test_a_short_write_goes_on(tmp_path, monkeypatch):
    """A system may write less than it is given."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))
    write_whole(tmp_path / "file", bytes(range(100)))
    assert (tmp_path / "file").read_bytes() == bytes(range(100))


def test_folders_are_synced(tmp_path, monkeypatch):
    synced = []
    real = os.fsync

    def note(handle):
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", note)
    make_folder(tmp_path / "a" / "b")
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    write_whole(tmp_path / "a" / "b" / "file", b"")
    assert synced[3:] == [str(tmp_path / "a" / "b")]


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it exists and is no regular file"):
        write_whole(tmp_path / "pipe", b"content")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="it exists and is no regular file"):
        write_whole(tmp_path / "folder", b"content")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "pipe"]


def test_two_threads_may_write_one_file(tmp_path):
    def write(data):
        for _ in range(20):
            write_whole(tmp_path / "file", data)

    contents = [bytes([i]) * 50_000 for i in range(2)]
    threads = [threading.Thread(target=write, args=(data,)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_tilde_is_the_home_folder(tiny_config, recorded, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run = train(tiny_config(), "~/run", progress=False)
    assert run.path == tmp_path / "run"
    assert load_run("~/run").checkpoints == resume("~/run", progress=False).checkpoints == [2, 4]
    assert save_record(recorded, "~/record.nc") == tmp_path / "record.nc"
    assert save_figure(figure(), "~/picture") == tmp_path / "picture.png"
    with pytest.raises(ValueError, match="home folder of a user that is not known"):
        train(tiny_config(), "~nobody-has-this-name/run", progress=False)


@pytest.fixture
def mounted(tmp_path):
    """Mounts a small file system of its own, with the options given; for root on Linux."""
    folder = tmp_path / "small"
    folder.mkdir()

    def mount(options, flags=("-t", "tmpfs")):
        done = subprocess.run(
            ["mount", *flags, "-o", options, "tmpfs", str(folder)], capture_output=True
        )
        if done.returncode:
            pytest.skip("cannot mount a file system here")
        return folder

    if os.name != "posix" or os.geteuid() or not os.path.exists("/proc/mounts"):
        pytest.skip("only root can mount a file system")
    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True)


@pytest.mark.parametrize("options", ["size=20k", "size=88k", "nr_inodes=6"])
def test_a_real_full_disk(options, mounted, tiny_config, recorded, content, tmp_path):
    small = mounted(options)
    with pytest.raises(RunError, match="No space left on device") as error:
        train(tiny_config(), small / "run", progress=False)
    assert_one_sentence(error)
    assert hidden(small) == []
    whole = train(tiny_config(), tmp_path / "whole", progress=False)
    subprocess.run(["mount", "-o", "remount,size=10m,nr_inodes=1000", str(small)], check=True)
    if (small / "run" / "config.json").exists():
        resume(small / "run", progress=False)
    else:
        train(tiny_config(), small / "run", progress=False)
    assert content(small / "run") == content(whole.path)

    old = save_record(recorded, small / "record.nc").read_bytes()
    (small / "filler").write_bytes(b"")
    used = sum(path.stat().st_size for path in small.rglob("*"))
    subprocess.run(["mount", "-o", f"remount,size={used // 1024 + 128}k", str(small)], check=True)
    with pytest.raises(OSError, match="No space left"), open(small / "filler", "wb") as filler:
        filler.write(np.zeros(1 << 20, np.uint8).tobytes())
    with pytest.raises(RecordError, match="No space left on device"):
        save_record(recorded, small / "record.nc")
    with pytest.raises(OSError, match="No space left on device"):
        save_figure(figure(), small / "figure.png")
    assert (small / "record.nc").read_bytes() == old
    assert sorted(p.name for p in small.iterdir()) == ["filler", "record.nc", "run"]


def test_a_real_read_only_disk(mounted, tiny_run, tiny_config, recorded, content):
    small = mounted("size=10m")
    run = train(tiny_config(), small / "run", progress=False)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    for write, kind in (
        (lambda: train(tiny_config(), small / "other", progress=False), RunError),
        (lambda: resume(run, progress=False), RunError),
        (lambda: save_record(recorded, small / "record.nc"), RecordError),
        (lambda: save_figure(figure(), small / "figure.png"), OSError),
    ):
        with pytest.raises(kind, match="Read-only file system") as error:
            write()
        assert_one_sentence(error)
    opened = load_run(small / "run")  # reading needs no lock
    assert len(opened.metrics) == 2
    assert opened.network.obs_size == 3
    assert mpn_lab.check_run(opened).ok
    assert not (small / "run" / LOCK).exists()
    assert content(small / "run") == content(tiny_run.path)
