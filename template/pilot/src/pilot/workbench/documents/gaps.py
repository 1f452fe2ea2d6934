"""What is missing for production: the gaps that people listed, and those that the checks find by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from math import isfinite
from pathlib import Path

from pilot.charter import Charter, read_charter
from pilot.contract import PilotError
from pilot.frontmatter import read_text
from pilot.records.queries import ServiceHealth, service_health
from pilot.workbench import signatures
from pilot.workbench.documents.model import Issue, is_placeholder
from pilot.workbench.documents.tables import rows_of
from pilot.workbench.found import SEVERITIES, Found, find
from pilot.workbench.view import Records, View

GAPS = Path("phases/3-decide/gaps.csv")
RULE = "gaps-listed"
AREAS = ("authentication", "error handling", "failover", "audit log", "compliance")
STATES = ("open", "closed")
COLUMNS = {
    "gap": "what is missing, in a few words; none where there is none; or the name of a gap that a check found",
    "area": f"{', '.join(AREAS)}, or another",
    "severity": "blocker (no go without it), major or minor",
    "effort_days": "days of work to fix it",
    "owner": "who fixes it",
    "state": "open or closed",
    "mended_by": "the day by which it is mended, such as 2027-03-31; a blocker with a day makes a go conditional",
    "note": "how it is mended; what shows that there is none, or that it is closed",
}
_NONE = re.compile(r"\W*(none|no gap)\W*", re.IGNORECASE)
_WORDS = 3


@dataclass(frozen=True)
class Gap:
    """One gap. `id` is the name that a check gives it where one found it, else None; `line` that of its row, None where
    it has none. `effort` is in days; what is not known is None or empty."""

    what: str
    area: str
    severity: str
    effort: float | None
    owner: str
    open: bool
    mended_by: date | None
    note: str
    line: int | None
    id: str | None = None

    @property
    def blocks(self) -> bool:
        """Whether it stands in the way of a go."""
        return self.open and self.severity == "blocker"


@dataclass(frozen=True)
class Gaps:
    """The gaps, the worst first; the areas for which somebody showed that there is none; and what keeps the list from
    being complete. `unreadable` are those of the problems that are mistakes of form."""

    rows: list[Gap] = field(default_factory=list)
    shown_none: dict[str, str] = field(default_factory=dict)
    problems: list[Issue] = field(default_factory=list)
    unreadable: list[Issue] = field(default_factory=list)

    @property
    def blockers(self) -> list[Gap]:
        """The open blockers: a go is refused, or is conditional where each has a day by which it is mended."""
        return [gap for gap in self.rows if gap.blocks]

    @property
    def conditions(self) -> list[Gap]:
        """The open blockers that have an owner and a day by which they are mended."""
        return [gap for gap in self.blockers if gap.owner and gap.mended_by]

    @property
    def effort(self) -> float:
        """The days of work of the open gaps, as far as they are known."""
        return sum(gap.effort or 0.0 for gap in self.rows if gap.open)


def read(root: Path, view: View) -> Gaps:
    """The gaps of the pilot in `root`: the rows of the paper, joined with what the checks find in `view`. A row whose
    gap begins with the name of a found one says who fixes it and by when.

    Raises PilotError when the charter cannot be read.
    """
    if not isinstance(view.records, Records):
        return joined(root, view, None)
    with view.records.engine.connect() as connection:
        return joined(root, view, service_health(connection))


def joined(root: Path, view: View, service: ServiceHealth | None) -> Gaps:
    """As `read`, with how the service stands; None where nobody looked at it."""
    charter = signatures.signed_charter(view.chain) or read_charter(root) or Charter()
    listed = of_paper(root, view.today)
    found = find(view, charter, service)
    if service is None:
        why = view.live if isinstance(view.live, str) else "Run `pilot gaps` where the records are."
        listed.problems.append(_problem(None, "cannot be joined with the gaps that the records show.", why))
    rows_of_found = {one.id: next((gap for gap in listed.rows if _about(one.id, gap)), None) for one in found}
    seen = [_joined(one, rows_of_found[one.id]) for one in found]
    rest = [gap for gap in listed.rows if gap not in rows_of_found.values()]
    listed.problems.extend(_of_found(found, rows_of_found))
    rows = sorted([*seen, *rest], key=lambda gap: (not gap.open, SEVERITIES.index(gap.severity), gap.area, gap.what))
    with_gap = {gap.area for gap in rows if gap.open}
    shown_none = {area: note for area, note in listed.shown_none.items() if area not in with_gap}
    return Gaps(rows, shown_none, listed.problems, listed.unreadable)


def of_paper(root: Path, today: date | None = None) -> Gaps:
    """The rows of the paper alone, in its order. An open gap whose day is before `today` is late."""
    text = read_text(root / GAPS)
    found = Gaps()
    if text is None:
        found.problems.append(_problem(None, "is not there.", "Add it: `pilot paper add gaps.csv`."))
        return found
    empty: dict[str, int] = {}
    try:
        for line, row in rows_of(text, COLUMNS):
            area = row["area"].casefold()
            if not any(row[name] for name in COLUMNS if name != "area"):
                empty[area] = line
                continue
            wrong = list(_of_form(line, row))
            found.unreadable.extend(wrong)
            found.problems.extend(wrong or _of_row(line, row, today))
            if wrong:
                empty.setdefault(area, line)
            elif _NONE.fullmatch(row["gap"]):
                found.shown_none[area] = row["note"]
            else:
                found.rows.append(_gap(line, row))
    except PilotError as error:
        line, what, fix = error.args
        broken = Gaps(problems=[_problem(line, what, fix)])
        broken.unreadable.extend(broken.problems)
        return broken
    named = {gap.area for gap in found.rows} | set(found.shown_none)
    for area in AREAS:
        if area not in named:
            fix = "Name what is missing, or write none with a note that shows it."
            found.problems.append(_problem(empty.get(area), f"says nothing about {area}.", fix))
    return found


def _of_form(line: int, row: dict[str, str]) -> Iterator[Issue]:
    """Cells that cannot be read; an empty one can."""
    for name, words in (("severity", SEVERITIES), ("state", STATES)):
        if row[name] and row[name].lower() not in words:
            yield _problem(line, f"{name} is {row[name]!r}.", f"Write {', '.join(words[:-1])} or {words[-1]}.")
    if row["effort_days"] and _number(row["effort_days"]) is None:
        yield _problem(line, f"effort_days is {row['effort_days']!r}.", "Write a number of days, such as 3 or 0.5.")
    if row["mended_by"] and _day(row["mended_by"]) is None:
        yield _problem(line, f"mended_by is {row['mended_by']!r}.", "Write a day such as 2027-03-31.")


def _of_row(line: int, row: dict[str, str], today: date | None) -> Iterator[Issue]:
    """What a row lacks."""
    name = row["gap"]
    if is_placeholder(row["area"]):
        yield _problem(line, f"area of {name!r} is empty.", f"Write one of {', '.join(AREAS)}, or another.")
    if _NONE.fullmatch(name):
        if is_placeholder(row["note"], _WORDS):
            what = f"says that {row['area'] or 'the area'} has no gap, and not what shows it."
            yield _problem(line, what, f"Write into `note` what was looked at, in {_WORDS} words or more.")
        return
    if is_placeholder(name):
        yield _problem(line, "gap is empty or a placeholder.", "Name what is missing in a few words.")
    for column, fix in (("severity", "blocker, major or minor"), ("state", "open or closed")):
        if not row[column]:
            yield _problem(line, f"{column} of {name!r} is empty.", f"Write {fix}.")
    if row["state"].lower() == "closed":
        if is_placeholder(row["note"], _WORDS):
            fix = f"Write into `note` what shows it, in {_WORDS} words or more."
            yield _problem(line, f"{name!r} is closed, and nothing shows it.", fix)
        return
    if not row["effort_days"]:
        yield _problem(line, f"effort_days of {name!r} is empty.", "Write the days of work that fix it.")
    if is_placeholder(row["owner"]):
        yield _problem(line, f"owner of {name!r} is empty.", "Name who fixes it.")
    by = _day(row["mended_by"])
    if today is not None and by is not None and by < today:
        yield _problem(line, f"{name!r} was to be mended by {by} and is open.", "Close it, or move the day.")


def _of_found(found: list[Found], rows: dict[str, Gap | None]) -> Iterator[Issue]:
    """What the paper must still say about gaps that checks found. They are known by themselves, so only of a blocker
    it must say who fixes it and by when."""
    for one in found:
        row = rows.get(one.id)
        if row is None and one.severity != SEVERITIES[0]:
            continue
        if row is None:
            fix = f"Fix it, or add a row whose gap is {one.id}, with effort_days, owner and mended_by."
            yield _problem(None, f"has no row for {one.id}, which a check found.", fix)
        elif not row.open:
            fix = "Open it again, or fix what the check sees."
            yield _problem(row.line, f"{one.id} is closed, and a check still finds it.", fix)


def _about(id: str, row: Gap) -> bool:
    """Whether a row speaks about the found gap of that name."""
    return re.match(rf"{re.escape(id)}(?![\w-])", row.what, re.IGNORECASE) is not None


def _joined(found: Found, row: Gap | None) -> Gap:
    """A found gap with what its row says. It is open as long as it is found, and no row makes it less severe."""
    if row is None:
        return Gap(found.what, found.area, found.severity, None, "", True, None, "", None, found.id)
    severity = min(found.severity, row.severity, key=SEVERITIES.index)
    return Gap(
        found.what, found.area, severity, row.effort, row.owner, True, row.mended_by, row.note, row.line, found.id
    )


def _gap(line: int, row: dict[str, str]) -> Gap:
    return Gap(
        what=row["gap"],
        area=row["area"].casefold(),
        # What is not said is taken for the worst.
        severity=row["severity"].lower() or SEVERITIES[0],
        effort=_number(row["effort_days"]),
        owner=row["owner"],
        open=row["state"].lower() != "closed",
        mended_by=_day(row["mended_by"]),
        note=row["note"],
        line=line,
    )


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if isfinite(found) and found >= 0 else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _problem(line: int | None, what: str, fix: str) -> Issue:
    return Issue(GAPS.as_posix(), line, what, fix, RULE)
