"""What keeps gate 1 shut: the candidates, the charter and its signature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pilot.charter import CHARTER
from pilot.contract import PilotError
from pilot.frontmatter import Issue, Unreadable, read_text
from pilot.workbench import evidence, signatures
from pilot.workbench.documents import candidates, charter_rules
from pilot.workbench.rules import Rule
from pilot.workbench.view import View


def problems(view: View) -> Iterator[Issue]:
    """All that is wrong with the papers of phase 1."""
    yield from view.chain.problems
    yield from candidates.read(view.root).issues
    try:
        paper = charter_rules.read(view.root)
    except Unreadable as error:
        yield from (replace(issue, rule="charter-readable") for issue in error.issues)
        return
    except PilotError as error:
        yield Issue(CHARTER.as_posix(), None, "cannot be read.", str(error), "charter-readable")
        return
    yield from charter_rules.issues(paper, view.begun)
    yield from signatures.of_charter(view.root, paper.facts, view.chain)


def seen(view: View, rule: Rule) -> str:
    """What shows that a rule holds."""
    signed = signatures.latest(view.chain).get((CHARTER.as_posix(), signatures.OWNER))
    if rule.id == "charter-signed" and signed:
        return f"{signed.says['name']} <{signed.says['email']}>, {signed.date}, {signed.file.name}"
    if rule.source == evidence.EVIDENCE.as_posix():
        return f"{len(view.chain.entries)} files in {rule.source}"
    return f"{rule.source}, SHA-256 {evidence.digest(read_text(view.root / rule.source) or '')[:12]}"
