"""Parses the words of a command line with tyro; what does not fit is one sentence, exit code 2.

tyro prints its errors in a box with a title, the error and help between rules. Its own hook for
them is private, so the sentence is taken from what it prints.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import tyro

_IN_A_SENTENCE = (
    (r"^Error parsing (\S+:)", r"\1"),
    (r"invalid literal for int\(\) with base 10: (.*)", r"\1 is no whole number"),
    (r"\. Expected", "; expected"),
    (r" Got errors:.*", ""),
    (r"[. ]*(\(required\))?$", ""),
)


def parse(
    commands: Mapping[str, Callable[..., None]], args: list[str], *, prog: str, description: str
) -> Callable[[], None]:
    """Return the command that the first word names, with its arguments, to be called.

    Raises:
        SystemExit: the words are no arguments of a command: one sentence on standard error, code 2;
            or they ask for the help, which is printed.
    """
    deferred = {name: _deferred(command) for name, command in commands.items()}
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown):
            return tyro.extras.subcommand_cli_from_dict(
                deferred, prog=prog, description=description, args=args
            )
    except SystemExit as stop:
        if stop.code == 2:  # else the help, or a sentence
            called = " ".join([prog, *(name for name in args[:1] if name in commands)])
            print(f"error: {_sentence(shown.getvalue())}; see `{called} --help`.", file=sys.stderr)
        raise


def _deferred(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """Return a function of the same arguments that only binds them: tyro calls what it parses."""

    @functools.wraps(command)
    def bind(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **kwargs)

    return bind


def _sentence(box: str) -> str:
    """Return the error in tyro's box as one sentence without a full stop."""
    parts = [" ".join(part.split()) for part in re.split(r"\n *-{5,} *\n", box)]
    said = parts[1] if len(parts) > 1 else parts[0]
    for pattern, words in _IN_A_SENTENCE:
        said = re.sub(pattern, words, said)
    close = re.search(r"Perhaps you meant:\s+(--\S+)", box)
    return f"{said} (did you mean {close[1]}?)" if close else said
