"""The verbs of the gates: where the pilot stands, what a gate lacks, and which promises are broken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pilot.cli.common import GATES, Today, below, day, pilot_root, records, settings
from pilot.contract import PilotError

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

    from pilot.workbench import history, sponsor
    from pilot.workbench.progress import progress

    root = settings().root
    held, recorded = _recorded(root)
    live = held if isinstance(held, str) else held.live
    found = {**progress(root, day(today), held), **history.start(root, live), **recorded}
    if html is not None:
        sponsor.write(html, root, found, day(today))
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
    """Passes a gate and writes its evidence, or lists what is missing and what mends it."""
    import orjson

    from pilot.workbench import gate as gates

    root = pilot_root()
    held = records(root) if number > 1 else None
    if today:
        found, written = gates.look(root, number, day(today), held), None
    else:
        found, written = gates.attempt(root, number, day(None), held)
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
    from pilot.workbench import promises

    broken = promises.broken(pilot_root(), day(today))
    for problem in broken:
        print(problem)
    if broken:
        raise typer.Exit(BROKEN)
    print("No promise is broken.")


def _recorded(root: Path) -> tuple[Any, dict[str, Any]]:
    """The records, or why they cannot be read; and all that is recorded, in figures."""
    from pilot.records.queries import summary

    held = records(root)
    if isinstance(held, str):
        return held, {}
    with held.engine.connect() as connection:
        found = {"database": held.live.database, "scratch": held.live.scratch, **summary(connection)}
    return held, found


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
        yield f"{item.state:<8} {item.rule.id}: {item.evidence or item.rule.question}{_attested(item.rule.by)}"
        for problem in item.problems:
            yield f"  {problem}"
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
