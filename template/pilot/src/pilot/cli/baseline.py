"""The verbs of `pilot baseline`: the process before the AI."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from pilot.cli.common import pilot_root

app = typer.Typer(no_args_is_help=True, help="The process before the AI: how long, how right, how expensive.")
_SHOWN = 20


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .csv file with a header, or a .jsonl file, in UTF-8. Columns: id, measured_on, measured_by, "
            "seconds, correct, cost, touches."
        ),
    ],
) -> None:
    """Adds measured items to phases/2-build/baseline.csv. Running it again adds nothing."""
    from pilot.workbench.documents import baseline
    from pilot.workbench.pilot import Pilot

    root = pilot_root()
    report = baseline.import_file(root, file, date.today())
    print(
        f"{report.rows} rows: {report.new + report.known} accepted ({report.new} new, {report.known} imported before), "
        f"{len(report.refused)} refused"
    )
    for refused in report.refused[:_SHOWN]:
        for issue in refused.issues:
            print(f"  {issue}")
    if len(report.refused) > _SHOWN:
        print(f"  and {len(report.refused) - _SHOWN} more")
    for change in Pilot(root, date.today()).baseline_changes:
        print(change)


@app.command()
def freeze() -> None:
    """Binds the baseline to its hash, as evidence for the gates. Commit it."""
    from pilot.workbench.documents import baseline

    found = baseline.freeze(pilot_root(), date.today())
    print(f"frozen on {found.on}: {found.n} items of {found.begins} to {found.ends} in {found.file}")


@app.command()
def show() -> None:
    """Shows what was measured, with 95 % intervals, and whether it is frozen."""
    from pilot.workbench.pilot import Pilot

    pilot = Pilot(pilot_root(), date.today())
    print("\n".join(_lines(pilot.measurements, pilot.frozen, pilot.baseline_changes)))


def _lines(rows: list[Any], frozen: Any, changes: list[Any]) -> Iterator[str]:
    from pilot.workbench import evaluation
    from pilot.workbench.documents import baseline

    if not rows:
        yield f"{baseline.BASELINE} has no rows. Measure today's process, then run `pilot baseline import FILE`."
    else:
        days = [row.measured_on for row in rows]
        yield f"items     {len(rows)}, measured {min(days)} to {max(days)}"
        yield f"by        {', '.join(sorted({row.measured_by for row in rows}))}"
        for name, figures in evaluation.measures(rows).items():
            shown = [
                f"{statistic} {found.value:.4g} {_ends(*found.interval)}"
                for statistic, found in figures.statistics.items()
            ]
            yield f"{name:<9} {', '.join([f'n {figures.n}', f'missing {figures.missing}', *shown])}"
        yield "In brackets: 95 % intervals (Wilson; order statistics; BCa bootstrap, or Student's t below 30 values)."
    if frozen is None:
        yield "frozen    no: run `pilot baseline freeze` before the AI's first live answer"
    else:
        yield f"frozen    {frozen.on}, {frozen.file}"
        yield from map(str, changes)


def _ends(low: float | None, high: float | None) -> str:
    return f"[{'open' if low is None else f'{low:.4g}'}, {'open' if high is None else f'{high:.4g}'}]"
