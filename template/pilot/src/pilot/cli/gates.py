"""The verbs of the gates: where the pilot stands, what is missing for a gate, and which promises are broken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilot.cli.common import GATES, Today, below, day, pilot_root, pilot_with_records, settings
from pilot.contract import PilotError

if TYPE_CHECKING:
    from pilot.workbench.pilot import Pilot

BROKEN = 10
app = typer.Typer()


@app.command(rich_help_panel=GATES)
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Writes a page for the sponsor.")] = None,
    today: Today = None,
) -> None:
    """Shows the phases with their evidence, the next action, what is recorded, and how well the model agrees."""
    import orjson

    from pilot.workbench import history
    from pilot.workbench.gates import progress

    pilot = pilot_with_records(settings().root, day(today))
    recorded = _recorded(pilot)
    live = pilot.live
    found = {**progress(pilot), **history.start(pilot.root, live), **recorded}
    if html is not None:
        from pilot.workbench import sponsor

        sponsor.write_status(html, pilot, found)
        print(f"wrote {html}")
    elif as_json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        print("\n".join((*_progress_lines(found), *(_record_lines(found) if "items" in found else ()))))
    if isinstance(live, str):
        raise PilotError(live)


@app.command(rich_help_panel=GATES)
def gate(
    number: Annotated[int, typer.Argument(metavar="N", help="1 to 5")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    today: Today = None,
) -> None:
    """Passes a gate and writes its evidence, or lists what is missing and how to fix it."""
    import orjson

    from pilot.workbench import gates
    from pilot.workbench.pilot import Pilot

    root = pilot_root()
    pilot = pilot_with_records(root, day(today)) if number > 1 else Pilot(root, day(today))
    found, written = (gates.look(pilot, number), None) if today else gates.attempt(pilot, number)
    if as_json:
        print(orjson.dumps(found.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        print("\n".join(_gate_lines(found)))
        if written:
            print(f"wrote {below(root, written)}: commit it")
    raise typer.Exit(0 if found.passes else 1)


@app.command(rich_help_panel=GATES)
def check(today: Today = None) -> None:
    """Reads the checkout alone, and fails with exit code 10 on a broken promise. Unfinished work breaks none."""
    from pilot.workbench.checks import broken
    from pilot.workbench.pilot import Pilot

    found = broken(Pilot(pilot_root(), day(today)))
    for issue in found:
        print(issue)
    if found:
        raise typer.Exit(BROKEN)
    print("No promise is broken.")


def _recorded(pilot: Pilot) -> dict[str, Any]:
    """All that is recorded, in figures; nothing where the records cannot be read."""
    from pilot.records.queries import summary

    live = pilot.live
    if pilot.engine is None or live is None or isinstance(live, str):
        return {}
    with pilot.engine.connect() as connection:
        return {"database": live.database, "scratch": live.scratch, **summary(connection)}


def _progress_lines(found: dict[str, Any]) -> Iterable[str]:
    for phase in found["phases"]:
        items = phase["items"]
        count = f"{sum(item['state'] == 'holds' for item in items)} of {len(items)}" if items else "-"
        since = f" on {phase['passed_on']}" if phase["passed_on"] else ""
        yield f"phase {phase['phase']} {phase['name']:<7} {phase['state']}{since} ({count})"
        if phase["state"] in ("current", "closed"):
            for item in items:
                shown = item["evidence"] or item["question"]
                yield f"  {item['state']:<8} {item['id']:<24} {shown}{_attested(item['by'])}"
    left, took = found["days_left"], found["days_to_first_live_item"]
    yield f"days left      {'-' if left is None else left}"
    yield f"first live     {'-' if took is None else f'{took} days after the first commit'}"
    yield f"next           {found['next']}"


def _attested(by: str) -> str:
    return " (attested)" if by == "attestation" else ""


def _gate_lines(found: Any) -> Iterable[str]:
    for item in found.items:
        yield f"{item.state:<8} {item.check.id}: {item.evidence or item.check.question}{_attested(item.check.by)}"
        for issue in item.issues:
            yield f"  {issue}"
    missing = sum(item.state != "holds" for item in found.items)
    if found.passed_on:
        said = f"Gate {found.number} passed on {found.passed_on}."
        yield said if not missing else f"{said} Since then, {missing} of its items changed."
    elif missing:
        yield f"Gate {found.number} does not pass: {missing} of {len(found.items)} items do not hold."
    else:
        yield f"Gate {found.number}: all {len(found.items)} items hold."


def _record_lines(found: dict[str, Any]) -> Iterator[str]:
    def percent(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    def counted(name: str) -> str:
        return ", ".join(f"{key} {count}" for key, count in found[name].items()) or "-"

    yield f"database       {found['database']}{', scratch: it counts for no gate' if found['scratch'] else ''}"
    yield f"mode           {found['mode']}"
    yield f"items          {found['items']} ({counted('by_origin')})"
    yield f"by mode        {counted('by_mode')}"
    yield f"by status      {counted('by_status')}"
    yield f"model versions {counted('by_model_version')}"
    yield f"failures       {counted('by_failure')}"
    yield f"pending        {found['pending']}"
    yield f"to review      {found['waiting_for_review']}"
    yield f"quarantined    {found['quarantined']}"
    for origin, quality in {"all": found, **found["origins"]}.items():
        yield (
            f"{origin:<14} agreement {percent(quality['agreement'])} "
            f"(today's rules {percent(quality['rules_agreement'])}), "
            f"coverage {percent(quality['coverage'])} of {quality['items']} items"
        )
    latency = found["latency"]
    if latency["answers"]:
        yield f"latency        median {latency['median'] * 1000:.1f} ms, p95 {latency['p95'] * 1000:.1f} ms"
    if "live" not in found["by_origin"]:
        yield "Nothing live is recorded yet, and only live items count: see README.md, section Your own items."
