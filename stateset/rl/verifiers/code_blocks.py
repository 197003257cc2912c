"""Which part of an answer is its program: fenced blocks, read line by line as Markdown has them.

A fence may stand in a list, behind words on its line or behind the last line of code, and the last block may
be unclosed: models write all of these.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

_PYTHON = ("python", "python3", "py", "py3")
_OPEN = re.compile(  # of a line without blanks at its end
    r"(?P<lead>\s*(?:(?:[-*+]|\d+[.)])\s+)?|[^`~]*(?=```+[ \t]*+\w*$))"
    r"(?P<fence>`{3,}|~{3,})[ \t]*+(?P<language>\w*+)[^`]*+"
)
_DEEPER = 4  # columns from which on a fence is text of the block, of a docstring say


def program(answer: str, entry: str | None = None) -> str:
    """The last block of Python in an answer, or the whole answer.

    Of several, those count that define `entry`, and then those that are marked as Python; a block of another
    language is none.
    """
    found = [block for block in blocks(answer) if block[0] in (*_PYTHON, "")]
    if entry is not None:
        name = re.escape(entry)
        defines = re.compile(rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|^{name}[ \t]*[:=]", re.MULTILINE)
        found = [block for block in found if defines.search(block[1])] or found
    found = [block for block in found if block[0]] or found
    return found[-1][1] if found else answer


def blocks(answer: str) -> Iterator[tuple[str, str]]:
    """Language, in lower case, and text of each fenced block."""
    lines = iter(re.split(r"\r?\n", answer))
    for line in lines:
        if opened := _OPEN.fullmatch(line.rstrip()):
            yield opened["language"].lower(), _dedented("".join(_inside(lines, opened)))


def _inside(lines: Iterator[str], opened: re.Match[str]) -> Iterator[str]:
    """The lines of a block, up to its closing fence or the end."""
    fence = opened["fence"]
    for line in lines:
        code = line.rstrip().rstrip(fence[0])
        if line[len(code) :].startswith(fence):
            if code.strip():
                yield code + "\n"
                return
            if len(code) < len(opened["lead"]) + _DEEPER:
                return
        yield line + "\n"


def _dedented(code: str) -> str:
    return textwrap.dedent(code) if code[:1].isspace() else code
