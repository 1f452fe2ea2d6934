"""What is missing for production: the gaps that people listed, joined with those that checks found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pilot.frontmatter import AnyDay, Fault, Issue, Unreadable, parse_table, text_of
from pilot.workbench.documents.model import Group, about, is_placeholder

GAPS = Path("phases/3-decide/gaps.csv")
SEVERITIES = ("blocker", "major", "minor")
AREAS = ("authentication", "error handling", "failover", "audit log", "compliance")
_NONE = re.compile(r"\W*(none|no gap)\W*", re.IGNORECASE)
_WORDS = 3
_WORD = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)


class Row(Group):
    """One row of the table."""

    gap: str = about(
        "what is missing, in a few words; none where there is none; or the name of a gap that a check found", ""
    )
    area: Annotated[str, _WORD] = about(f"{', '.join(AREAS)}, or another", "")
    severity: Annotated[Literal["blocker", "major", "minor"] | None, _WORD] = about(
        "blocker (no go without it), major or minor"
    )
    effort_days: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = about("days of work to fix it")
    owner: str = about("who fixes it", "")
    state: Annotated[Literal["open", "closed"] | None, _WORD] = about("open or closed")
    mended_by: AnyDay | None = about(
        "the day by which it is fixed, such as 2027-03-31; a blocker with a day makes a go conditional"
    )
    note: str = about("how it is fixed; what shows that there is none, or that it is closed", "")

    def faults(self, today: date | None) -> Iterator[Fault]:
        """What is missing in the row. An open gap whose day is before `today` is late."""
        if is_placeholder(self.area):
            yield Fault("area", "is empty.", f"Write one of {', '.join(AREAS)}, or another.")
        if _NONE.fullmatch(self.gap):
            if is_placeholder(self.note, _WORDS):
                what = f"nothing shows that {self.area or 'the area'} has no gap."
                yield Fault("note", what, f"Write what was looked at, in {_WORDS} words or more.")
            return
        if is_placeholder(self.gap):
            yield Fault("gap", "is empty or a placeholder.", "Name what is missing in a few words.")
        if not self.severity:
            yield Fault("severity", "is empty.", "Write blocker, major or minor.")
        if not self.state:
            yield Fault("state", "is empty.", "Write open or closed.")
        if self.state == "closed":
            if is_placeholder(self.note, _WORDS):
                what = f"{self.gap!r} is closed, and nothing shows it."
                yield Fault("note", what, f"Write what shows it, in {_WORDS} words or more.")
            return
        if self.effort_days is None:
            yield Fault("effort_days", "is empty.", "Write the days of work that fix it.")
        if is_placeholder(self.owner):
            yield Fault("owner", "is empty.", "Name who fixes it.")
        if today and self.mended_by and self.mended_by < today:
            what = f"{self.gap!r} was to be fixed by {self.mended_by} and is open."
            yield Fault("mended_by", what, "Close it, or move the day.")


COLUMNS = {name: field.description or "" for name, field in Row.model_fields.items()}


@dataclass(frozen=True)
class Gap:
    """One gap. `id` is the name of the check that found it, else None; `line` that of its row, None where
    it has none. `effort` is in days; what is not known is None or empty."""

    what: str
    area: str
    severity: str
    effort: float | None = None
    owner: str = ""
    open: bool = True
    mended_by: date | None = None
    note: str = ""
    line: int | None = None
    id: str | None = None

    @property
    def blocks(self) -> bool:
        """Whether a go needs it to be fixed."""
        return self.open and self.severity == "blocker"


@dataclass(frozen=True)
class Gaps:
    """The gaps, the worst first; the areas for which somebody showed that there is none; and what keeps the list from
    being complete."""

    rows: list[Gap] = field(default_factory=list)
    shown_none: dict[str, str] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)

    @property
    def blockers(self) -> list[Gap]:
        """The open blockers: a go is refused, or is conditional where each has a day by which it is fixed."""
        return [gap for gap in self.rows if gap.blocks]

    @property
    def conditions(self) -> list[Gap]:
        """The open blockers that have an owner and a day by which they are fixed."""
        return [gap for gap in self.blockers if gap.owner and gap.mended_by]

    @property
    def effort(self) -> float:
        """The days of work of the open gaps, as far as they are known."""
        return sum(gap.effort or 0.0 for gap in self.rows if gap.open)


def listed_in(root: Path, today: date | None = None) -> Gaps:
    """The rows of the table alone, in its order. An open gap whose day is before `today` is late."""
    try:
        rows, issues = parse_table(Row, text_of(root, GAPS), GAPS)
    except Unreadable as error:
        return Gaps(issues=list(error.issues))
    found = Gaps(issues=issues)
    empty: dict[str, int] = {}
    for row in rows:
        facts, line = row.facts, row.lines[""]
        if facts == Row(area=facts.area):
            empty[facts.area] = line
            continue
        found.issues.extend(row.issue(fault) for fault in facts.faults(today))
        if _NONE.fullmatch(facts.gap):
            found.shown_none[facts.area] = facts.note
        else:
            found.rows.append(_gap(line, facts))
    named = {gap.area for gap in found.rows} | set(found.shown_none)
    for area in AREAS:
        if area not in named:
            fix = "Name what is missing, or write none with a note that shows it."
            found.issues.append(
                Issue(GAPS.as_posix(), empty.get(area), f"does not state what is missing for {area}.", fix)
            )
    return found


def joined(listed: Gaps, found: list[Gap]) -> Gaps:
    """The gaps of the table and those that checks found. A row whose gap begins with the name of a found one states who
    fixes it and by when."""
    rows_of_found = {one.id: next((gap for gap in listed.rows if _about(one, gap)), None) for one in found}
    seen = [_joined(one, rows_of_found[one.id]) for one in found]
    rest = [gap for gap in listed.rows if gap not in rows_of_found.values()]
    rows = sorted([*seen, *rest], key=lambda gap: (not gap.open, SEVERITIES.index(gap.severity), gap.area, gap.what))
    with_gap = {gap.area for gap in rows if gap.open}
    shown_none = {area: note for area, note in listed.shown_none.items() if area not in with_gap}
    return Gaps(rows, shown_none, [*listed.issues, *_of_found(found, rows_of_found)])


def _of_found(found: list[Gap], rows: dict[str | None, Gap | None]) -> Iterator[Issue]:
    """What is missing in the table about gaps that checks found. They are known by themselves, so only of a blocker
    it must say who fixes it and by when."""
    for one in found:
        row = rows.get(one.id)
        if row is None and one.severity != SEVERITIES[0]:
            continue
        if row is None:
            fix = f"Fix it, or add a row whose gap is {one.id}, with effort_days, owner and mended_by."
            yield Issue(GAPS.as_posix(), None, f"has no row for {one.id}, which a check found.", fix)
        elif not row.open:
            fix = "Open it again, or fix what the check sees."
            what = f"{one.id} is closed, and a check still finds it."
            yield Issue(GAPS.as_posix(), row.line, what, fix)


def _about(found: Gap, row: Gap) -> bool:
    return re.match(rf"{re.escape(found.id or '')}(?![\w-])", row.what, re.IGNORECASE) is not None


def _joined(found: Gap, row: Gap | None) -> Gap:
    """A found gap with the facts of its row. It is open as long as it is found, and no row makes it less severe."""
    if row is None:
        return found
    severity = min(found.severity, row.severity, key=SEVERITIES.index)
    return replace(row, what=found.what, area=found.area, severity=severity, open=True, id=found.id)


def _gap(line: int, row: Row) -> Gap:
    # What is not stated is taken for the worst.
    severity = row.severity or SEVERITIES[0]
    is_open = row.state != "closed"
    return Gap(row.gap, row.area, severity, row.effort_days, row.owner, is_open, row.mended_by, row.note, line)
