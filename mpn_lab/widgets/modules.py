"""The front end's modules as one: ES modules without a build step, in one text.

anywidget takes one module, and a page from disk may import none (browsers refuse `import` there).
So each module is put after those that it imports, in one scope: its `import` lines go, and `export`
before a function, class or constant goes. Modules keep to what that needs: imports of the form
`import { a, b } from "./x.js";`, without renaming, and top-level names that no other module has.
What makes a module an entry, its `mount` and default export, goes where another one imports it.
"""

from __future__ import annotations

import functools
import re
from importlib.resources import files

_FOLDER = files("mpn_lab.widgets") / "static"
_IMPORT = re.compile(r'^import \{([\w$,\s]+)\} from "\./([\w-]+\.js)";\n', re.M)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) )", re.M)
_ENTRY = re.compile(
    r"^(?:/\*\*.*\*/\n)?export function mount\(.*\n(?:  .*\n)*}\n|^export default .*\n", re.M
)
_NAME = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let) ([\w$]+)", re.M)


@functools.cache
def bundle(*entries: str) -> str:
    """Return modules of `static/` and all that they import as one module.

    Raises:
        ValueError: a module breaks the rules above; the sentence names it.
    """
    order: list[str] = []
    for entry in entries:
        _collect(entry, order, ())
    owner: dict[str, str] = {}
    parts = []
    for module in order:
        text = source(module)
        if module not in entries:
            text = _ENTRY.sub("", text)
        for name in _NAME.findall(text):
            if owner.setdefault(name, module) != module:
                raise ValueError(f"{module} and {owner[name]} both have the name {name}.")
        parts.append(f"// {module}\n{_EXPORT.sub('', _IMPORT.sub('', text))}")
    return "\n".join(parts)


def source(name: str) -> str:
    """Return the text of a file of the front end."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def _collect(module: str, order: list[str], above: tuple[str, ...]) -> None:
    """Append a module to the order, after those that it imports."""
    if module in above:
        raise ValueError(f"{module} imports itself, by {' -> '.join((*above, module))}.")
    text = source(module)
    imports = _IMPORT.findall(text)
    if len(imports) != len(re.findall(r"^\s*import\b|\bimport\(", text, re.M)):
        raise ValueError(f'{module} imports in another form than import {{ a }} from "./x.js";')
    for names, other in imports:
        exported = {m for m in re.findall(r"^export .*?(?:function\*?|class|const|let) ([\w$]+)",
                                          source(other), re.M)}  # fmt: skip
        if missing := set(re.findall(r"[\w$]+", names)) - exported:
            raise ValueError(f"{other} does not export {min(missing)}, which {module} imports.")
        if other not in order:
            _collect(other, order, (*above, module))
    if module not in order:
        order.append(module)
