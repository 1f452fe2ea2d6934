"""The checks of the gates, one function for each question, and the promises of a pilot.

A check gets the pilot and returns what is wrong, or what shows that it holds. It is registered with its gate, its
question and how to fix it; `pilot gate`, `pilot status`, the conditions of a go and the reference read it from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pilot.charter import CHARTER
from pilot.contract import PilotError
from pilot.frontmatter import Issue, Unreadable, read_text, under
from pilot.workbench import card, decision, evidence, signatures
from pilot.workbench.documents import charter_rules
from pilot.workbench.documents.baseline import BASELINE
from pilot.workbench.documents.candidates import CANDIDATES
from pilot.workbench.documents.interviews import INTERVIEWS
from pilot.workbench.evidence import EVIDENCE
from pilot.workbench.pilot import Pilot

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pilot.records.queries import Live

PHASES = {1: "scope", 2: "build", 3: "decide", 4: "harden", 5: "live"}
# What is recorded, rather than a document.
DATABASE = "database"
COSTS, GAPS = Path("phases/3-decide/costs.toml"), Path("phases/3-decide/gaps.csv")
# Outcomes that stopped for longer than a working week no longer come in.
DAYS_WITHOUT_OUTCOME = 7


@dataclass(frozen=True)
class Failed:
    """Why a check does not hold: in its own source, and with its own fix, unless others are given."""

    what: str
    fix: str = ""
    file: str = ""


# What a check returns: all that is wrong, or what shows that it holds.
Found = Iterable[Issue] | Failed | str


@dataclass(frozen=True)
class Check:
    """One item of a gate. `evidence` is what the check sees for itself, an `attestation` what only a person can say,
    with the name. `source` is the document, the folder or the database that it reads, `fix` what makes it hold,
    `needs` the checks that must hold before."""

    id: str
    gate: int
    question: str
    run: Callable[[Pilot], list[Issue] | str]
    by: Literal["evidence", "attestation"]
    source: str
    fix: str
    needs: tuple[str, ...] = ()


CHECKS: dict[str, Check] = {}


def check(
    id: str, gate: int, question: str, source: Path | str, fix: str, *needs: str, attested: bool = False
) -> Callable[[Callable[[Pilot], Found]], None]:
    """Registers a check of a gate."""
    by: Literal["evidence", "attestation"] = "attestation" if attested else "evidence"
    named = source if isinstance(source, str) else source.as_posix()

    def register(run: Callable[[Pilot], Found]) -> None:
        def named_issues(pilot: Pilot) -> list[Issue] | str:
            found = run(pilot)
            if isinstance(found, Failed):
                found = [Issue(found.file or named, None, found.what, found.fix or fix)]
            return found if isinstance(found, str) else under(id, found)

        CHECKS[id] = Check(id, gate, question, named_issues, by, named, fix, needs)

    return register


def issues(pilot: Pilot, id: str) -> list[Issue]:
    """What keeps a check from holding."""
    found = CHECKS[id].run(pilot)
    return [] if isinstance(found, str) else found


def _hashed(pilot: Pilot, file: Path) -> str:
    return f"{file.as_posix()}, SHA-256 {evidence.digest(read_text(pilot.root / file) or '')[:12]}"


def after(gate: int, question: str) -> None:
    """Registers the check of the next gate that this one has passed."""

    @check(f"gate-{gate}-passed", gate + 1, question, EVIDENCE, f"Pass it: `pilot gate {gate}`.")
    def run(pilot: Pilot) -> Found:
        found = pilot.chain.passed(gate)
        if found:
            return found.file.name
        what = f"holds no evidence that gate {gate} has passed."
        return Failed(what, f"`pilot gate {gate}` lists what is missing.")


def complete(gate: int, name: str, question: str) -> None:
    """Registers the check that an operations document is complete."""
    from pilot.workbench.documents import operations

    file = operations.DOCUMENTS[name].file
    fix = f"Fill {file.name}; `pilot paper show {name}` lists what is missing."

    @check(f"{name}-complete", gate, question, file, fix)
    def run(pilot: Pilot) -> Found:
        return operations.issues(pilot.root, name, pilot.today) or file.as_posix()


# Gate 1


def _candidates(id: str, question: str, fix: str, *needs: str) -> None:
    def run(pilot: Pilot) -> Found:
        return [issue for issue in pilot.candidates.issues if issue.rule == id] or _hashed(pilot, CANDIDATES)

    check(id, 1, question, CANDIDATES, f"{fix} `pilot candidates` shows the ranking.", *needs)(run)


_candidates(
    "candidates-scored",
    "Are two or more problems scored on impact, feasibility and readiness, with evidence?",
    "Fill the table with the people who do the work.",
)
_candidates("candidates-selected", "Is exactly one selected?", "Select one.", "candidates-scored")
_candidates(
    "candidates-override",
    "Does the selected one rank first without a 1, or say why it was picked all the same?",
    "Select another, or write the reason in `override`.",
    "candidates-selected",
)


@check(
    "charter-readable",
    1,
    "Can the charter be read?",
    CHARTER,
    "Fix the front matter; `pilot charter` names the line.",
)
def _charter_readable(pilot: Pilot) -> Found:
    try:
        pilot.charter_document  # noqa: B018 - reads it
    except Unreadable as error:
        return error.issues
    except PilotError as error:
        return Failed("cannot be read.", str(error))
    return _hashed(pilot, CHARTER)


def _charter(id: str, question: str, fix: str, needs: str = "charter-readable", attested: bool = False) -> None:
    def run(pilot: Pilot) -> Found:
        return [issue for issue in pilot.charter_issues if issue.rule == id] or _hashed(pilot, CHARTER)

    check(id, 1, question, CHARTER, fix, needs, attested=attested)(run)


for _rule in charter_rules.RULES:
    _charter(_rule.id, _rule.question, _rule.fix, _rule.needs, _rule.attested)
_charter("charter-sections", "Does each section of the page say something?", "Fill the section.")
_charter("charter-page", "Does it fit on one page?", "Cut it.")
_charter(
    "charter-agreement",
    "Does the prose name the facts instead of repeating them?",
    "Put the name of the fact in braces, such as {target}.",
)


@check(
    "charter-signed",
    1,
    "Did the owner sign the charter as it stands?",
    EVIDENCE,
    "Have the owner sign it with `pilot sign charter`.",
    "charter-readable",
    attested=True,
)
def _charter_signed(pilot: Pilot) -> Found:
    signed = pilot.signatures.get((CHARTER.as_posix(), signatures.OWNER))
    wrong = signatures.of_charter(pilot.root, pilot.charter_document.facts, pilot.chain)
    return wrong or (
        f"{signed.facts['name']} <{signed.facts['email']}>, {signed.date}, {signed.file.name}" if signed else ""
    )


@check("evidence-intact", 1, "Is the evidence as it was written?", EVIDENCE, "Bring the files back from git.")
def _evidence_intact(pilot: Pilot) -> Found:
    return pilot.chain.problems or f"{len(pilot.chain.entries)} files in {EVIDENCE.as_posix()}"


# Gate 2


after(1, "Has gate 1 passed?")


@check(
    "baseline-frozen",
    2,
    "Is today's process measured and frozen?",
    BASELINE,
    "Import measurements with `pilot baseline import FILE`, then `pilot baseline freeze`.",
)
def _baseline_frozen(pilot: Pilot) -> Found:
    frozen = pilot.frozen
    if frozen is None:
        fix = "Measure today's process, `pilot baseline import FILE`, then `pilot baseline freeze`."
        return Failed("is not frozen.", fix)
    return pilot.baseline_changes or f"{frozen.n} items of {frozen.begins} to {frozen.ends}, {frozen.file.name}"


@check(
    "baseline-before-ai",
    2,
    "Was it measured before the AI first answered a live item?",
    BASELINE,
    "Keep only rows of before that day, and freeze again.",
    "baseline-frozen",
    "records-readable",
)
def _baseline_before_ai(pilot: Pilot) -> Found:
    frozen, first = pilot.frozen, live_of(pilot).first_answer_at
    if frozen and first and not frozen.precedes(first.date()):
        what = f"its period ends on {frozen.ends}, and the AI first answered a live item on {first.date()}."
        fix = "Keep the rows of before that day and freeze again: later ones may show what the AI did, not the process."
        return Failed(what, fix)
    return f"ends {frozen and frozen.ends}, first live answer {first.date() if first else 'none'}"


def live_of(pilot: Pilot) -> Live:
    """What is live, for checks that wait for `records-readable`."""
    assert pilot.live is not None and not isinstance(pilot.live, str)  # noqa: S101, PT018 - `needs` sees to it
    return pilot.live


def connected(pilot: Pilot) -> Connection:
    """A connection to the records, for checks that wait for them."""
    assert pilot.engine is not None  # noqa: S101 - `needs` sees to it
    return pilot.engine.connect()


def _of_records(pilot: Pilot, what: str, fix: str = "") -> Failed:
    return Failed(what, fix, f"{DATABASE} {live_of(pilot).database}")


def records(gate: int, id: str) -> None:
    """Registers the check that the records are those of the pilot."""
    fix = "Start the database, or name the pilot's own in PILOT_DATABASE_URL."

    @check(id, gate, "Can the records be read, and do they count?", DATABASE, fix)
    def run(pilot: Pilot) -> Found:
        if pilot.live is None or isinstance(pilot.live, str):
            why = "was not looked at." if pilot.live is None else "cannot be read."
            return Failed(why, pilot.live or "Run it where the records are.")
        if pilot.live.scratch:
            fix = "Name the pilot's own database in PILOT_DATABASE_URL."
            return _of_records(pilot, "is a scratch database, which counts for no gate.", fix)
        return f"{pilot.live.database}, audit trail up to {pilot.live.head[:12]}"


records(2, "records-readable")


@check(
    "live-items",
    2,
    "Are as many live items recorded as the charter plans to have judged?",
    DATABASE,
    "Send real items with a live key, or `pilot ingest FILE`.",
    "records-readable",
)
def _live_items(pilot: Pilot) -> Found:
    live, planned = live_of(pilot), pilot.terms.judged_items or 1
    if live.items < planned:
        return _of_records(pilot, f"holds {live.items} live items, and the charter plans {planned}.")
    return f"{live.items} live items"


@check(
    "records-complete",
    2,
    "Is the record of each live item complete: response, the AI's answer, that of today's rules?",
    DATABASE,
    "Start the service, which takes up again what is pending.",
    "records-readable",
)
def _records_complete(pilot: Pilot) -> Found:
    from pilot.records.queries import GRACE

    live = live_of(pilot)
    if not live.items:
        return _of_records(pilot, "holds no live record.", "Send real items with a live key.")
    if live.incomplete_items:
        older = f"{live.incomplete_items} items older than {GRACE.seconds // 60} minutes"
        what = f"has {older} whose record is missing a part: {', '.join(live.incomplete)}."
        fix = "`pilot serve` takes up again what is pending, unless the AI is off; its log says what fails."
        return _of_records(pilot, what, fix)
    return f"{live.items} records"


@check(
    "outcomes-coming-in",
    2,
    "Do people's decisions come in, for enough of the items that wait for one, and lately?",
    DATABASE,
    "Have people decide what waits on the page /review.",
    "records-readable",
)
def _outcomes_coming_in(pilot: Pilot) -> Found:
    live, least = live_of(pilot), pilot.terms.least_coverage
    last = live.last_outcome_at and live.last_outcome_at.date()
    fix = "Have people decide what waits on the page /review, or send outcomes from the system where they do."
    if live.judged < least * live.asked or not live.judged:
        what = (
            f"has outcomes for {live.judged} of the {live.asked} live items that wait for a person's decision, and the "
            f"charter asks for {least:.0%}."
        )
        return _of_records(pilot, what, fix)
    if last and (pilot.today - last).days > DAYS_WITHOUT_OUTCOME:
        return _of_records(pilot, f"has had no new outcome since {last}.", fix)
    return f"{live.judged} of {live.asked} decided, the last {last or 'none'}"


# Gate 3


after(2, "Is the AI measured on real work, beside today's process (gate 2)?")


@check(
    "evaluated",
    3,
    "Is there a verdict on the target, by the records of real work?",
    DATABASE,
    "`pilot evaluate` says what is missing; the verdict comes at the end of the pilot's weeks.",
)
def _evaluated(pilot: Pilot) -> Found:
    decided = decision.final(pilot.chain)
    facts = decided.facts if decided else {}
    shown = f"{facts.get('verdict') or 'as of today'}, {facts.get('estimate') or '`pilot evaluate` shows it'}"
    if facts.get("verdict") not in (None, "PROGRESS"):
        return shown
    found = pilot.results
    if isinstance(found, str):
        return Failed("cannot be evaluated.", found)
    if found.evaluation.verdict == "PROGRESS":
        return Failed(found.evaluation.reasons[0], "`pilot evaluate` shows the progress until then.")
    return shown


@check(
    "interviews-held",
    3,
    "Did enough users say whether it helped, what went wrong, and whether they would use it again?",
    INTERVIEWS,
    "Talk to users, and add each conversation with `pilot interview add`.",
)
def _interviews_held(pilot: Pilot) -> Found:
    least, found = pilot.terms.least_interviews, pilot.interviews
    if found.count < least:
        what = f"holds {found.count} conversations that count, and the charter asks for {least}."
        fix = "Talk to users and run `pilot interview add`. A score of a survey is no conversation."
        return [Issue(INTERVIEWS.as_posix(), None, what, fix), *found.issues]
    return f"{found.count} conversations"


@check(
    "costs-projected",
    3,
    "Is it known what a month of production costs and brings?",
    COSTS,
    "Fill the ranges; `pilot costs` shows what follows from them.",
)
def _costs_projected(pilot: Pilot) -> Found:
    try:
        return pilot.costs.issues or COSTS.as_posix()
    except PilotError as error:
        return Failed("cannot be projected.", str(error))


@check(
    "gaps-listed",
    3,
    "Is it known what is still missing for production, with effort and owner?",
    GAPS,
    "Fill the table; `pilot gaps` adds what the checks find by themselves.",
)
def _gaps_listed(pilot: Pilot) -> Found:
    try:
        return pilot.gaps.issues or GAPS.as_posix()
    except PilotError as error:
        return Failed("cannot be read.", str(error))


@check(
    "decision-made",
    3,
    "Is it decided, go or no-go, with reasons?",
    EVIDENCE,
    'Decide: `pilot decide go --because "..."`, or no-go.',
)
def _decision_made(pilot: Pilot) -> Found:
    decided = decision.final(pilot.chain)
    if decided is None:
        latest = decision.in_force(pilot.chain)
        extended = f"an extension until {latest.facts['until']}, " if latest else ""
        return Failed(f"holds {extended}no decision.")
    return f"{decided.facts['decision']}, {decided.date}, {decided.facts['paper']}"


@check(
    "decision-in-time",
    3,
    "Was it decided by the day that the charter names, or to which one extension moved it?",
    EVIDENCE,
    "That cannot be fixed; the record says why it took longer.",
    "decision-made",
)
def _decision_in_time(pilot: Pilot) -> Found:
    decided = decision.made(pilot.chain)
    by = date.fromisoformat(decided.facts["due"]) if decided.facts.get("due") else None
    if by is None or decided.date > by:
        what = f"was decided on {decided.date}, and due on {by or 'no day'}."
        fix = "That cannot be fixed; the record says why."
        return Failed(what, fix, decided.facts["paper"])
    return f"due on {by}"


@check(
    "decision-shared",
    3,
    "Do the people it concerns know of it?",
    EVIDENCE,
    "Have somebody else than the owner sign the record, or name who was told: --shared-with.",
    "decision-made",
    attested=True,
)
def _decision_shared(pilot: Pilot) -> Found:
    decided = decision.made(pilot.chain)
    paper, told = decided.facts["paper"], decided.facts.get("shared_with")
    signed = [role for document, role in pilot.signatures if document == paper and role != signatures.OWNER]
    if not told and not signed:
        fix = f"Have them sign it: {signatures.command(paper, 'sponsor', {})}"
        return Failed("names nobody with whom it was shared.", fix, paper)
    return ", ".join(told or ["signed by another than the owner"])


@check(
    "decision-go",
    3,
    "Is it a go?",
    EVIDENCE,
    "A no-go ends the pilot: `pilot close`. A reversal is a new decision.",
    "decision-made",
)
def _decision_go(pilot: Pilot) -> Found:
    decided = decision.made(pilot.chain)
    if decided.facts["decision"] != "go":
        fix = "`pilot close` ends the pilot; a reversal is a new decision."
        return Failed("is a no-go.", fix, decided.facts["paper"])
    return str(decided.facts["paper"])


# Promises


def broken(pilot: Pilot) -> list[Issue]:
    """Each promise that is broken: altered evidence, a signed document, a frozen baseline or a decision that changed, a
    go without what it needs, a system card that is out of date, a decision date that has passed without a decision.
    Reads the checkout alone. Unfinished work breaks no promise."""
    signed = pilot.signatures.values()
    return [
        *pilot.chain.problems,
        *(issue for entry in signed for issue in signatures.changes(pilot.root, entry)),
        *pilot.baseline_changes,
        *decision.changes(pilot.root, pilot.chain),
        *card.stale(pilot.root),
        *_late(pilot),
    ]


def _late(pilot: Pilot) -> list[Issue]:
    by = decision.due(pilot.chain)
    if by is None or pilot.today <= by or decision.decided(pilot.chain):
        return []
    what = f"the decision was due on {by}, {(pilot.today - by).days} days ago, and there is none."
    fix = 'Decide now, go or no-go: `pilot decide go --because "..."`, or `pilot decide no-go --because "..."`.'
    return [Issue(CHARTER.as_posix(), None, what, fix, "decision-in-time")]


# Gates 4 and 5 have modules of their own, which register their checks here.
from pilot.workbench import hardening, living  # noqa: E402, F401
