"""`pilot next`: a draft of the next charter, with what production reaches by the code that judged the pilot."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from test_evaluate_cli import copied
from test_results import TODAY, PilotMaker, Work, make_pilot
from typer.testing import CliRunner

from pilot.charter import parse_charter
from pilot.cli import app as command
from pilot.contract import PilotError
from pilot.records import controls
from pilot.records.database import now, writing
from pilot.records.tables import answers, items, outcomes
from pilot.workbench import production
from pilot.workbench.pilot import Pilot

__all__ = ["make_pilot"]


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def drafted(made: Work, *words: str) -> str:
    assert CliRunner().invoke(command, ["next", *words]).exit_code == 0
    return (made.root / "var/next-charter.md").read_text(encoding="utf-8")


def test_the_same_records_give_the_figure_of_the_verdict(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    made.items(17, 3)
    with made.app.service.engine.connect() as connection:
        _, found = production.evaluated(Pilot(made.root, TODAY, made.app.service.engine), connection, 60)
    assert found.figure == made.results().evaluation.figure


def test_what_is_reached_is_the_new_baseline_and_the_target_is_open(make_pilot: PilotMaker) -> None:
    made = make_pilot(target=0.8)
    made.items(17, 3)
    text = drafted(made)
    charter = parse_charter(text)
    assert (charter.metric, charter.target, charter.decision_by) == ("accuracy", None, None)
    assert charter.owner.name == "Ada Byron"
    assert "Share of items that the AI decides as people do: 85 of 100 items (64 to 95 of 100 items), on 20 of" in text
    assert "The target was at least 80 of 100 items." in text
    assert "No slice fares worse, nothing has changed, and nobody has flagged an answer" in text
    assert "Nobody has looked for drift: `pilot drift`." in text


def test_drift_flags_and_a_worse_slice_are_what_it_proposes(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    made.items(1)
    copied(made.app, 400, 340)
    with writing(made.app.service.engine) as connection:
        wrong = select(items.c.id).where(items.c.seq > 300)
        connection.execute(update(items).where(items.c.seq > 300).values(group="invoices"))
        connection.execute(update(items).where(items.c.seq <= 300).values(group="orders"))
        connection.execute(update(outcomes).where(outcomes.c.item_id.in_(wrong)).values(flag="edge_case"))
        controls.note_drift(connection, "olga", True, [("text", "mean", 0.0), ("answer", "confidence", -0.41)])
        assert connection.execute(select(func.count()).select_from(answers)).scalar_one() >= 400
    text = drafted(made)
    assert "- The AI is right less often than elsewhere, by group: invoices: 0.40" in text
    assert "- answer has changed since the pilot was judged (confidence, \\-0.41)" in text
    assert "- People flagged 100 answers: edge case" in text
    assert f"Drift was looked for on {now().date()}." in text


def test_only_the_last_days_count(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    made.items(8, 2)
    with writing(made.app.service.engine) as connection:
        old = now() - timedelta(days=20)
        connection.execute(update(items).where(items.c.seq <= 4).values(arrived_at=old, received_at=old))
    assert "on 6 of 6 items" in drafted(made, "--days", "14")
    assert "on 10 of 10 items" in drafted(made, "--days", "28")


def test_without_a_target_it_says_what_is_missing(make_pilot: PilotMaker) -> None:
    make_pilot(signed=False)
    charter = Path("phases/1-scope/charter.md")
    charter.write_text(charter.read_text().replace("target: 0.8", "target:"))
    found = CliRunner().invoke(command, ["next"])
    assert isinstance(found.exception, PilotError)
    assert "The charter has no target." in str(found.exception)
