"""The checks of gate 4: whether the service runs at scale without the people who built it."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from pilot.frontmatter import Issue
from pilot.workbench import card, signatures
from pilot.workbench.checks import DATABASE, GAPS, Failed, Found, after, check, complete, connected, records
from pilot.workbench.documents import operations, runbook
from pilot.workbench.evidence import EVIDENCE, Entry
from pilot.workbench.pilot import Pilot

# Evidence of what may have changed since: of load, of the runbook, and of the alerts.
LOAD_COUNTS, DRILL_COUNTS, LOOK_BACK_COUNTS = timedelta(days=90), timedelta(days=180), timedelta(days=30)
# A look back over less says little.
LOOKS_BACK = timedelta(days=28)


after(3, "Is it decided, and a go (gate 3)?")


def _latest(pilot: Pilot, kind: str, **facts: str) -> Entry | None:
    """The last evidence of its kind that has these facts."""
    found = [entry for entry in pilot.chain.entries if entry.kind == kind]
    return next((entry for entry in reversed(found) if facts.items() <= entry.facts.items()), None)


@check(
    "load-tested",
    4,
    "Does the service keep its objectives at the volume of production?",
    EVIDENCE,
    "`pilot loadtest peak` sends the busiest hour of the charter's volume.",
)
def _load_tested(pilot: Pilot) -> Found:
    fix = "Run `pilot loadtest peak`; its report names what was missed."
    found, volume = _latest(pilot, "loadtest", profile="peak"), pilot.charter.volume_production or 0
    if found is None:
        return Failed("holds no load test at the volume of production.", fix)
    tested = f"{found.file.name}, of {found.date}, {found.facts['daily']:g} items a day"
    if not found.facts["kept"]:
        return Failed(f"holds a load test that missed an objective: {tested}.", fix)
    if found.facts.get("shortened"):
        return Failed(f"holds a load test that was shortened: {tested}.", fix)
    if found.facts["daily"] < volume:
        return Failed(f"holds {tested}, and the charter plans {volume:g}.", fix)
    if pilot.today - found.date > LOAD_COUNTS:
        return Failed(f"holds {tested}, which is too old: {LOAD_COUNTS.days} days count.", fix)
    return f"{tested}, p95 {found.facts['p95_ms']:.0f} ms, of {found.facts['target']}"


@check(
    "runbook-drilled",
    4,
    "Was each page of the runbook that can be drilled followed, and did it restore the service?",
    EVIDENCE,
    "`pilot drill --all` follows them on a scratch copy.",
)
def _runbook_drilled(pilot: Pilot) -> Found:
    pages = runbook.drillable(pilot.root, pilot.charter.build_or_buy or "build")
    last = {page: entry.date for page in pages if (entry := _latest(pilot, "drill", page=page))}
    never = [page for page in pages if pilot.today - last.get(page, date.min) > DRILL_COUNTS]
    if never or not pages:
        what = f"holds no drill of the last {DRILL_COUNTS.days} days of {', '.join(never) or 'any page'}."
        return Failed(what, "Run `pilot drill --all`.")
    return f"{len(pages)} pages, the first on {min(last.values())}"


@check(
    "alarms-counted",
    4,
    "Is it known how often the alerts would have called somebody so far?",
    EVIDENCE,
    "`pilot alerts backtest` looks back over the records by the rules.",
)
def _alarms_counted(pilot: Pilot) -> Found:
    found = _latest(pilot, "backtest")
    if found is None or pilot.today - found.date > LOOK_BACK_COUNTS:
        what = f"holds no look back by the alerts of the last {LOOK_BACK_COUNTS.days} days."
        return Failed(what, "Run `pilot alerts backtest`.")
    begins, ends = (datetime.fromisoformat(found.facts[name]) for name in ("begins", "ends"))
    if ends - begins < LOOKS_BACK:
        what = f"holds a look back by the alerts over {(ends - begins).days} days, and {LOOKS_BACK.days} count."
        return Failed(what, "Let the service run, then run `pilot alerts backtest` again.")
    calls = len(found.facts["calls"])
    return f"{calls} {'call' if calls == 1 else 'calls'} from {found.facts['begins']} to {found.facts['ends']} UTC"


records(4, "records-there")


@check(
    "model-retrained",
    4,
    "Was the model trained anew once, on what people decided?",
    DATABASE,
    "`pilot model retrain` makes a candidate and compares it with the model in force.",
    "records-there",
)
def _model_retrained(pilot: Pilot) -> Found:
    from pilot.records.controls import RETRAINED, model_history

    with connected(pilot) as connection:
        trained = [entry for entry in model_history(connection) if entry["event"] == RETRAINED]
    if not trained:
        fix = "Run `pilot model retrain`, so that it is known to work before the model is out of date."
        return Failed("holds no retraining.", fix)
    return f"{trained[-1]['version']}, {trained[-1]['at']:%Y-%m-%d}, by {trained[-1]['by']}"


@check(
    "system-card-current",
    4,
    "Is it written down what the pilot is, what it depends on and what threatens it, as it is now?",
    card.CARD,
    card.FIX,
    "records-there",
)
def _system_card_current(pilot: Pilot) -> Found:
    from pilot.records import controls

    written = card.read(pilot.root)
    if written is None:
        return Failed("is not there.")
    with connected(pilot) as connection:
        answers = controls.model(connection)
    if answers not in (None, written["model"]):
        what = f"describes version {written['model']}, and {answers} was promoted since."
        return Failed(what)
    return card.stale(pilot.root) or card.CARD.as_posix()


@check(
    "no-open-blocker",
    4,
    "Is nothing open any more that blocks production?",
    GAPS,
    "Fix what `pilot gaps` lists as a blocker, and close its row.",
    "records-there",
)
def _no_open_blocker(pilot: Pilot) -> Found:
    fix = "Fix it, and close its row with what shows that."
    open_ = [Issue(GAPS.as_posix(), gap.line, f"{gap.what} It blocks production.", fix) for gap in pilot.gaps.blockers]
    return [*pilot.gaps.issues, *open_] or f"{sum(gap.open for gap in pilot.gaps.rows)} open gaps, none blocks"


def _document(name: str, filled: str, signed: str) -> None:
    def attested(pilot: Pilot) -> Found:
        wrong = signatures.of_document(pilot.root, name, pilot.chain)
        file = operations.DOCUMENTS[name].file.as_posix()
        by = [entry.facts["name"] for (paper, _), entry in pilot.signatures.items() if paper == file]
        return wrong or f"signed by {', '.join(by)}"

    complete(4, name, filled)
    fix = f"Have them sign it with `pilot sign {name}`."
    check(f"{name}-signed", 4, signed, EVIDENCE, fix, f"{name}-complete", attested=True)(attested)


_document(
    "security-review",
    "Is each area of the security reviewed, and nothing open?",
    "Did the reviewer, who is not the owner, sign it?",
)
_document("playbook", "Is it known who is called when, and how the service comes back?", "Did its owner sign it?")
_document("handoff", "Is it known who runs, fixes, retrains, pays and decides?", "Did both sides sign it?")
