"""Pages and texts for readers: each rendered from a template and written as a whole.

A page is one HTML file that opens without JavaScript and prints on A4.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from pilot.contract import PilotError
from pilot.frontmatter import replace_text


def render(template: str, **facts: Any) -> str:
    """Renders a page of `templates/`: HTML that extends `page.html`, Markdown, or plain text. Values are escaped
    in HTML and Markdown."""
    environment = Environment(
        loader=PackageLoader("pilot.workbench"),
        autoescape=template.endswith(".html"),
        finalize=_text if template.endswith(".md") else None,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = _code
    return environment.get_template(template).render(**facts)


def _code(text: Any) -> Markup:
    """A text for HTML: what is between backticks is set as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _text(value: Any) -> str:
    """A value in Markdown, in one line, where it is text and nothing else: in a table, a list or a heading."""
    line = " ".join(str(value).split())
    text = "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#|!&~$" else sign for sign in line)
    return f"\\{text}" if text[:1] in ("-", "+", "=") else text


def write(file: Path, text: str) -> None:
    """Replaces a file as a whole; writes into what is no file, such as a pipe or /dev/stdout. Raises PilotError where
    it cannot be written."""
    try:
        if file.exists() and not file.is_file():
            file.write_text(text, encoding="utf-8")
            return
        replace_text(file, text)
    except OSError as error:
        raise PilotError(f"{file} cannot be written ({error.strerror}). Name a file in a folder of yours.") from error
