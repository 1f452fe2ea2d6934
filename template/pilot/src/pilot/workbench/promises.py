"""The promises that a pilot has made, and those that it broke."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pilot.charter import CHARTER
from pilot.frontmatter import Issue
from pilot.workbench import decisions, evidence, signatures
from pilot.workbench.documents import baseline
from pilot.workbench.evidence import Chain


def broken(root: Path, today: date) -> list[Issue]:
    """Each promise that is broken: altered evidence, a signed paper, a frozen baseline or a decision that changed, a go
    without what it needs, a decision date that has passed without a decision. Reads the checkout alone. Unfinished work
    breaks no promise."""
    chain = evidence.read(root)
    changed = [problem for signed in signatures.latest(chain).values() for problem in signatures.changes(root, signed)]
    decided = decisions.problems(root, chain)
    return [*chain.problems, *changed, *baseline.changes(root), *decided, *_late(chain, today)]


def decided(chain: Chain) -> bool:
    """Whether there is a decision: a go or a no-go, or, as in version 0.1, one that the owner wrote and signed."""
    signed = signatures.latest(chain)
    by_hand = any(
        paper.startswith(f"{decisions.FOLDER.as_posix()}/") for paper, role in signed if role == signatures.OWNER
    )
    return decisions.final(chain) is not None or by_hand


def _late(chain: Chain, today: date) -> list[Issue]:
    by = decisions.due(chain)
    if by is None or today <= by or decided(chain):
        return []
    what = f"the decision was due on {by}, {(today - by).days} days ago, and there is none."
    mend = 'Decide now, go or no-go: `pilot decide go --because "..."`, or `pilot decide no-go --because "..."`.'
    return [Issue(CHARTER.as_posix(), None, what, mend, "decision-in-time")]
