"""What is committed of a notebook's outputs: text and PNG alone."""

import subprocess
import sys
from pathlib import Path

import nbformat

SCRIPT = Path(__file__).parent.parent / "scripts" / "strip_notebooks.py"
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True
    )


def write(path):
    v4 = nbformat.v4
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/html": "<b>x</b>"}
    metadata = {"tags": ["kept"], "execution": {"shell.execute_reply": ""}}
    cell = v4.new_code_cell("x", execution_count=3, metadata=metadata)
    cell.outputs = [
        v4.new_output("stream", name="stderr", text="0%| |"),
        v4.new_output("stream", name="stdout", text="said\n"),
        v4.new_output("display_data", data={**view, "text/plain": "Widget", "image/png": PIXEL}),
        v4.new_output("display_data", data=view),
    ]
    notebook = v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})
    nbformat.write(notebook, path)


def test_strip_keeps_text_and_pictures_and_names_a_kernel(tmp_path):
    path = tmp_path / "a.ipynb"
    write(path)
    check = run("--check", tmp_path)
    assert check.returncode == 1
    assert f"{path} is not stripped" in check.stdout
    assert run(tmp_path).returncode == 0
    notebook = nbformat.read(path, as_version=4)
    said, shown = notebook.cells[0].outputs
    assert said.text == "said\n"
    assert sorted(shown.data) == ["image/png", "text/plain"]
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].execution_count == 1
    assert notebook.cells[0].metadata == {"tags": ["kept"]}
    before = path.read_bytes()
    assert run("--check", tmp_path).returncode == 0
    assert run(tmp_path).returncode == 0
    assert path.read_bytes() == before
