"""Every notebook runs from top to bottom; the outputs it marks come out as committed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
CHROMIUM = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path):
    if CHROMIUM and "Explorer(" in path.read_text():
        pytest.skip("run and compared by tests/browser/test_open_notebooks.py")
    # A pytest of its own: the warnings of Jupyter's machinery are none of ours, and the notebook
    # meets the package as a user does, without shape checks.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]
    command += ["--nbval-lax", "--nbval-current-env", "--rootdir", str(path.parent), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=path.parent)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
