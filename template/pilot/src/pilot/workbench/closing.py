"""The end of a pilot: what is left to do once it was decided that it goes no further."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pilot.contract import PilotError
from pilot.records import keys
from pilot.workbench import decisions, evidence, signatures
from pilot.workbench.documents import candidates, operations
from pilot.workbench.evidence import Entry
from pilot.workbench.view import Records, View

PAPER = "closing"


def no_go(root: Path) -> Entry:
    """The no-go in force. Raises PilotError where there is none."""
    found = decisions.final(evidence.read(root))
    if found is None or found.says["decision"] != "no-go":
        raise PilotError('Only a no-go ends a pilot. Decide first: `pilot decide no-go --because "..."`.')
    return found


def reopening(root: Path) -> str:
    """The decision by which a closed pilot may be opened again. Raises PilotError where it is still a no-go."""
    found = decisions.final(evidence.read(root))
    if found is None or found.says["decision"] != "go":
        raise PilotError(
            "The pilot is closed, so its mode does not change. A reversal is a new decision that supersedes the no-go: "
            '`pilot decide go --because "..."`.'
        )
    return str(found.says["paper"])


def left(view: View) -> Iterator[str]:
    """What is still to be shut down, kept, told and learned, one sentence each."""
    if isinstance(view.records, Records):
        with view.records.engine.connect() as connection:
            held = [key for key in keys.listed(connection) if key["revoked_at"] is None]
        for key in held:
            yield f"The key {key['id']} of {key['name']} ({key['role']}) is in force: `pilot keys revoke {key['id']}`."
    yield from (str(problem) for problem in operations.issues(view.root, PAPER, view.today))


def hints(view: View) -> Iterator[str]:
    """What the closing paper asks for, as far as the other papers know it."""
    signed = signatures.signed_charter(view.chain)
    if signed and signed.log_days:
        until = view.today + timedelta(days=signed.log_days)
        yield f"The charter keeps records {signed.log_days} days: until {until}, if the last one is of today."
    ranked = candidates.ranked(candidates.read(view.root).rows)
    following = next((row for row in ranked if not row.selected), None)
    if following:
        yield f"The next candidate by its scores is {following.problem}, {following.score} points."
