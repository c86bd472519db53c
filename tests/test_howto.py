"""Every page of docs/how-to runs as it is printed, and an own core or task takes 25 lines."""

import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs" / "how-to").glob("*.md"))
AT_MOST = 25  # lines of code from the class to the explorer


def blocks(page):
    """The Python blocks of a page, each after as many empty lines as stand before it there."""
    text = page.read_text()
    return [
        "\n" * text[: match.start(1)].count("\n") + match[1]
        for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_as_it_is_printed(page, tmp_path, monkeypatch):
    from mpn_lab.networks import registry

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        registry, "_CORES", {n: registry.core_class(n) for n in registry.core_names()}
    )
    names = {"__name__": f"howto_{page.stem.replace('-', '_')}"}
    assert blocks(page)
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("page", ["own-core", "own-task"])
def test_from_a_class_to_the_explorer_in_25_lines(page):
    (path,) = (path for path in PAGES if path.stem == page)
    lines = [line for block in blocks(path) for line in block.splitlines() if line.strip()]
    (first, *_) = (i for i, line in enumerate(lines) if "TrialExplorer(" in line)
    assert first + 1 <= AT_MOST
