"""Two processes never write in one folder, and a lock outlives neither its process nor its run."""

import multiprocessing
import os
import signal

import pytest

from mpn_lab import RunError, check_run, load_run, resume, train
from mpn_lab.training.files import LOCK, is_locked, lock_folder


def _train(config, path, begun):
    def wait(row):
        begun.set()
        signal.pause()

    train(config, path, progress=False, on_row=wait)


@pytest.fixture
def writing(tiny_config, tmp_path):
    """The folder of a run that another process is training, and that process."""
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    path = tmp_path / "run"
    process = context.Process(target=_train, args=(tiny_config(), path, begun))
    process.start()
    assert begun.wait(120)
    yield path, process
    process.kill()
    process.join()


def test_a_second_process_gets_one_sentence(writing, tiny_config, tiny_run, content):
    path, process = writing
    for write in (
        lambda: train(tiny_config(), path, progress=False),
        lambda: resume(path, progress=False),
        lambda: check_run(path, repair=True),
    ):
        with pytest.raises(RunError, match="is being written by another process; wait until tha"):
            write()
    assert len(load_run(path).metrics) == 1  # reading needs no lock
    report = check_run(path)
    assert report.ok
    assert "another process is writing the run now" in report.found

    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert (path / LOCK).exists()
    assert not is_locked(path)
    resume(path, progress=False)
    assert content(path) == content(tiny_run.path)  # no lock is left


def test_the_lock_goes_however_a_training_ends(tiny_config, tmp_path):
    for i, error in enumerate((KeyboardInterrupt, ZeroDivisionError, RunError)):

        def fail(row, error=error):
            assert is_locked(tmp_path / str(i))  # noqa: B023
            raise error("x")

        with pytest.raises(error):
            train(tiny_config(), tmp_path / str(i), progress=False, on_row=fail)
        assert not (tmp_path / str(i) / LOCK).exists()
        with pytest.raises(RunError, match="is not empty; resume"):
            train(tiny_config(), tmp_path / str(i), progress=False)
        assert not (tmp_path / str(i) / LOCK).exists()
        assert resume(tmp_path / str(i), progress=False).checkpoints == [2, 4]


def test_a_file_that_was_a_lock_can_be_locked_again(tmp_path):
    with lock_folder(tmp_path):
        with pytest.raises(RunError, match="is being written"), lock_folder(tmp_path):
            pass
        assert (tmp_path / LOCK).exists()  # which the second has left alone
    with lock_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
