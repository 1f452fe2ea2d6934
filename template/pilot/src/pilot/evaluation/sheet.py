"""Sheets: pages for readers outside of the team, each one HTML file that opens without JavaScript and prints on A4."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from pilot.contract import PilotError


def render(package: str, template: str, **facts: Any) -> str:
    """The sheet `template` of the package, such as `pilot.gates`: HTML that extends `sheet.html`, or Markdown."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("pilot.evaluation")]),
        autoescape=template.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template(template).render(**facts)


def _cell(text: str) -> str:
    """A text in a cell of a Markdown table, where it is text and nothing else."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#|!&~$" else sign for sign in " ".join(text.split()))


def write(file: Path, text: str) -> None:
    """Replaces a file as a whole. Raises PilotError where it cannot be written."""
    draft = file.with_name(f".{file.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        os.replace(draft, file)
    except OSError as error:
        raise PilotError(f"{file} cannot be written ({error.strerror}). Name a file in a folder of yours.") from error
