"""Whether the files that the template owns are as it shipped them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pilot.workbench.template_tools.compare import same
from pilot.workbench.template_tools.origin import ANSWERS, Render, files

WRAPPER = "pilot/"
IN_THE_WRAPPER = "Extend the wrapper from outside: by code in src/, libraries in pyproject.toml, tests in tests/."
POINT = re.compile(r"[Ee]xtension points?: (.+?\.)(?:\s|$)")


@dataclass(frozen=True)
class Finding:
    """A managed file that is not as it was shipped: what became of it, its path, and where its change belongs."""

    what: str
    path: str
    mend: str


@dataclass(frozen=True)
class Report:
    """How many files the template owns, what is wrong with them, and the team's own files beside them."""

    managed: int
    findings: list[Finding]
    beside: list[str]


def look(root: Path, shipped: Render) -> Report:
    """Compares the managed files of the pilot in `root` with a render of its own version.

    The answers are Copier's to write, and are left out. A file that was added is wrong in the wrapper, which is one
    package; elsewhere it is an extension, such as a runbook page of the team's.
    """
    managed = [path for path in shipped.owned("managed") if path != ANSWERS]
    findings = []
    for path in managed:
        if (root / path).is_symlink() or not same(root / path, shipped.folder / path):
            what = "edited" if (root / path).is_file() else "missing"
            findings.append(Finding(what, path, mend(shipped.folder / path, path)))
    here = files(root)
    made = {*shipped.match("generated", here), *managed, ANSWERS}
    added = [path for path in shipped.match("managed", here) if path not in made]
    findings += [Finding("added", path, IN_THE_WRAPPER) for path in added if path.startswith(WRAPPER)]
    return Report(len(managed), findings, [path for path in added if not path.startswith(WRAPPER)])


def mend(file: Path, path: str) -> str:
    """Where a change of a managed file belongs: what its first lines name as its extension point."""
    if path.startswith(WRAPPER):
        return IN_THE_WRAPPER
    lines = file.read_text(encoding="utf-8", errors="replace")[:1000].splitlines()
    head = " ".join(" ".join(line.strip().lstrip("#/*<!-").split()) for line in lines)
    found = POINT.search(head)
    return f"Extension point: {found[1]}" if found else "Put it back; its own page or README says where to extend it."
