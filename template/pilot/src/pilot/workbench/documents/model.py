"""Issues of documents: what is wrong, where, and how to fix it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# What people leave behind where they meant to write something.
_PLACEHOLDER = re.compile(
    r"\b(todo|tbd|tba|fixme|xxx+|lorem ipsum|to be (defined|decided|determined|announced|filled)|placeholder)\b"
    r"|\bfill (me )?in\b|^\W*(n/?a|none|unknown|nothing|later|soon|yes|no|x+)?\W*$|<[a-z][^>]*>|\?\?+|\.\.\.+$|…$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Issue:
    """What is wrong, where, and how to fix it. `line` counts from 1, `rule` is the id of the gate's rule."""

    file: str
    line: int | None
    what: str
    fix: str
    rule: str = ""

    @property
    def place(self) -> str:
        """The file, with the line as editors and terminals link it."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        return f"{self.place}: {self.what} {self.fix}"


def is_placeholder(text: str | None, words: int = 1) -> bool:
    """Whether `text` is empty, a placeholder, or shorter than so many words."""
    return text is None or len(re.findall(r"\w+", text)) < words or bool(_PLACEHOLDER.search(text.strip()))


def named(root: Path, file: Path) -> str:
    """A file as messages and evidence name it: below the root, with slashes."""
    return file.relative_to(root).as_posix()
