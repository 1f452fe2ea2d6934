"""The user guide: users read it before their first decision, and again when it has changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Guide:
    """A guide in Markdown: sections of paragraphs and lists, and nothing else."""

    text: str

    @property
    def version(self) -> str:
        """The begin of the text's SHA-256: whoever has read the guide has read this version."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def sections(self) -> list[tuple[str, list[list[str]]]]:
        """The title of each section and its blocks: the lines of a paragraph, or of a list, which begin with `- `."""
        parts = (part.partition("\n") for part in self.text.split("\n## ")[1:])
        return [(title, [block.split("\n") for block in _blocks(body)]) for title, _, body in parts]


def _blocks(text: str) -> list[str]:
    return [block.strip() for block in text.split("\n\n") if block.strip()]
