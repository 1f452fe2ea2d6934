"""The promises that a pilot has made, and those that it broke."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pilot.gates import baseline, evidence, signatures
from pilot.gates.evidence import Chain
from pilot.gates.papers import CHARTER
from pilot.gates.problems import Problem

DECISIONS = "phases/3-decide/decisions/"


def broken(root: Path, today: date) -> list[Problem]:
    """Each promise that is broken: altered evidence, a signed paper or a frozen baseline that changed, a decision date
    that has passed without a decision. Reads the checkout alone. Unfinished work breaks no promise."""
    chain = evidence.read(root)
    changed = [problem for signed in signatures.latest(chain).values() for problem in signatures.changes(root, signed)]
    return [*chain.problems, *changed, *baseline.changes(root), *_late(chain, today)]


def decision_by(chain: Chain) -> date | None:
    """The day by which the pilot must be decided: as gate 1 saw it, else as the owner signed it; None before that.
    Once gate 1 has passed, signing another date does not move it."""
    passed = chain.passed(1)
    if passed:
        return date.fromisoformat(passed.says["decision_by"])
    signed = signatures.signed_charter(chain)
    return signed.decision_by if signed else None


def decided(chain: Chain) -> bool:
    """Whether the owner has signed a decision."""
    return any(paper.startswith(DECISIONS) and role == signatures.OWNER for paper, role in signatures.latest(chain))


def _late(chain: Chain, today: date) -> list[Problem]:
    by = decision_by(chain)
    if by is None or today <= by or decided(chain):
        return []
    what = f"the decision was due on {by}, {(today - by).days} days ago, and there is none."
    mend = (
        f"Decide now, go or no-go: write it with its reasons into {DECISIONS}{today}.md, and have the owner sign it: "
        f"{signatures.command(f'{DECISIONS}{today}.md', signatures.OWNER, {})}"
    )
    return [Problem("decision-in-time", CHARTER.as_posix(), None, what, mend)]
