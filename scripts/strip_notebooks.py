"""Keep of a notebook's outputs only what every viewer can show: printed text and PNG pictures.

    python scripts/strip_notebooks.py notebooks            # strip them in place
    python scripts/strip_notebooks.py --check notebooks    # say which are not stripped; exit 1

Widget state goes (GitHub refuses a notebook that has it), as do standard error and the editor's
own metadata; the cells are counted from the top. A kernel is named, or opening the notebook asks
for one.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

KEPT = ("text/plain", "image/png")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def stripped(notebook: Any) -> Any:
    """The notebook with text and PNG outputs alone."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": dict(KERNEL), "language_info": {"name": "python"}}
    )
    count = 0
    for cell in notebook.cells:
        tags = {"tags": cell.metadata.tags} if "tags" in cell.metadata else {}
        cell.metadata = nbformat.from_dict(tags)
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            kept = [_kept(output, count) for output in cell.outputs]
            cell.outputs = [output for output in kept if output is not None]
    return notebook


def _kept(output: Any, count: int) -> Any:
    if output.output_type == "stream":
        return output if output.name == "stdout" else None
    if output.output_type not in ("display_data", "execute_result"):
        return None
    data = {kind: output.data[kind] for kind in KEPT if kind in output.data}
    if not data:
        return None
    output.data, output.metadata = nbformat.from_dict(data), nbformat.from_dict({})
    if output.output_type == "execute_result":
        output.execution_count = count
    return output


def _shrink(notebook: Any) -> None:
    """Encode the pictures anew, without loss, as small as PNG gets."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                old, buffer = base64.b64decode(data["image/png"]), io.BytesIO()
                Image.open(io.BytesIO(old)).save(buffer, "PNG", optimize=True)
                if len(buffer.getvalue()) < len(old):
                    data["image/png"] = base64.b64encode(buffer.getvalue()).decode()


def _notebooks(paths: list[Path]) -> list[Path]:
    found = [
        file for path in paths for file in (path.rglob("*.ipynb") if path.is_dir() else [path])
    ]
    return sorted(file for file in found if ".ipynb_checkpoints" not in file.parts)


def main() -> int:
    """Strip, or check, every notebook below the paths given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="only say which are not; exit 1")
    arguments = parser.parse_args()
    found = 0
    for path in _notebooks(arguments.paths):
        before = nbformat.read(path, as_version=4)
        after = stripped(nbformat.read(path, as_version=4))
        if before == after:
            continue
        found += 1
        if arguments.check:
            print(f"{path} is not stripped: run python scripts/strip_notebooks.py {path}")
        else:
            _shrink(after)
            nbformat.write(after, path)
    return 1 if arguments.check and found else 0


if __name__ == "__main__":
    sys.exit(main())
