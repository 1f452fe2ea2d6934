"""The papers as they are rendered: they pass no gate, break no promise, and hold each fact that the wrapper reads."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import Render, files
from jsonschema import Draft202012Validator
from pilot.charter import CHARTER, OBJECTIVES, Charter
from pilot.contract import PilotError
from pilot.workbench import gates, signatures
from pilot.workbench.checks import broken
from pilot.workbench.documents import charter_rules, operations
from pilot.workbench.documents import files as documents
from pilot.workbench.documents.candidates import CANDIDATES, COLUMNS
from pilot.workbench.documents.costs import COSTS
from pilot.workbench.documents.gaps import AREAS, GAPS
from pilot.workbench.documents.gaps import COLUMNS as GAP_COLUMNS
from pilot.workbench.pilot import Pilot

TODAY = date(2027, 1, 11)
# What the questions of the template fill, and what may stay empty.
FILLED = {"pilot", "regulated", "build_or_buy", "metric", "unit", "direction", "interval"}
OPTIONAL = {
    *("measured_from", "looks", "blind"),
    *("volume_now", "volume_production", "busiest_hour_share", "guardrails", "coverage_floor", "audit_share"),
    *("interviews_min", "currency", "cost_of_hour", "oversight", "log_days", "impact_note"),
}


@pytest.fixture(scope="module", params=["build", "buy"])
def pilot(request: pytest.FixtureRequest, render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp(request.param) / "pilot", approach=request.param)


def test_an_untouched_pilot_breaks_no_promise_and_passes_no_gate(pilot: Path) -> None:
    before = files(pilot)
    assert broken(Pilot(pilot, date(2099, 1, 1))) == []
    for words, code in ((["check"], 0), (["gate", "1"], 1), (["charter"], 1), (["candidates"], 1)):
        done = subprocess.run([sys.executable, "-m", "pilot.cli", *words], cwd=pilot, capture_output=True, text=True)
        assert done.returncode == code, done
        assert done.stderr == ""
    assert files(pilot) == before


def test_each_empty_fact_is_named_with_its_line(pilot: Path) -> None:
    said = [str(problem) for item in gates.inspect(Pilot(pilot, TODAY), 1).items for problem in item.issues]
    lines = (pilot / CHARTER).read_text(encoding="utf-8").split("\n")
    names = set(Charter.model_fields) - FILLED - OPTIONAL
    assert {"owner", "budget", "weeks", "decision_by", "risks", "alternatives", "use"} <= names
    for name in names:
        [number] = [number for number, line in enumerate(lines, 1) if line.startswith(f"{name}:")]
        place = f"{CHARTER.as_posix()}:"
        where = [one for one in said if one.startswith(place) and f": {name}" in one]
        assert where, f"{name} is not named"
        if name not in ("owner", "receiving_owner"):
            assert where[0].startswith(f"{place}{number}: {name}: ")


def test_the_papers_hold_what_the_wrapper_reads(pilot: Path) -> None:
    facts = yaml.safe_load((pilot / CHARTER).read_text(encoding="utf-8").split("---\n")[1])
    assert set(facts) == set(Charter.model_fields)
    assert (pilot / CANDIDATES).read_text(encoding="utf-8") == ",".join(COLUMNS) + "\n"
    header, *rows = (pilot / GAPS).read_text(encoding="utf-8").splitlines()
    assert header == ",".join(GAP_COLUMNS)
    assert rows == [f",{area},,,,,," for area in AREAS]


def test_the_prose_of_the_charter_names_its_facts_from_the_first_day(pilot: Path) -> None:
    assert not [
        problem
        for problem in charter_rules.issues(charter_rules.read(pilot), TODAY)
        if problem.rule in ("charter-agreement", "charter-page")
    ]


def test_a_paper_that_can_be_added_is_what_a_new_pilot_gets(pilot: Path) -> None:
    assert "README.md" in documents.names()
    for name in documents.names():
        assert (pilot / "phases" / name).read_bytes() == (operations.BLANK / name).read_bytes()


def schema_of(pilot: Path, paper: Path, says: str) -> Draft202012Validator:
    """The schema that an editor finds by the first lines of a paper."""
    [line] = [line for line in (pilot / paper).read_text(encoding="utf-8").splitlines()[:2] if says in line]
    file = (pilot / paper).parent / line.partition(says)[2].strip()
    schema = json.loads(file.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_an_editor_finds_the_schema_of_the_facts_and_it_holds(pilot: Path) -> None:
    front_matter = (pilot / CHARTER).read_text(encoding="utf-8").split("---\n")[1]
    schema = schema_of(pilot, CHARTER, "$schema=")
    for words in (front_matter, front_matter.replace("regulated: no", "regulated: 'no'")):
        assert list(schema.iter_errors(yaml.safe_load(words))) == []
    for wrong in (
        {"weeks": "six"},
        {"week": 6},
        {"metric": "speed"},
        {"owner": {"names": "Ada"}},
        {"regulated": "maybe"},
    ):
        assert list(schema.iter_errors(wrong)) != [], wrong
    ranges = schema_of(pilot, COSTS, "#:schema ")
    assert list(ranges.iter_errors(tomllib.loads((pilot / COSTS).read_text(encoding="utf-8")))) == []
    assert list(ranges.iter_errors({"on_call": [500, 1000, 2000], "licences": 0, "price_change": 2})) == []
    for costs in ({"on_call": [500, 1000]}, {"on_call": -1}, {"reviewed_share": 15}, {"oncall": 1}):
        assert list(ranges.iter_errors(costs)) != [], costs
    objectives = schema_of(pilot, OBJECTIVES, "#:schema ")
    assert list(objectives.iter_errors(tomllib.loads((pilot / OBJECTIVES).read_text(encoding="utf-8")))) == []
    assert list(objectives.iter_errors({"availability": 99})) != []


@pytest.mark.parametrize("name", operations.DOCUMENTS)
def test_an_editor_finds_the_schema_of_a_short_paper_and_it_holds(name: str, pilot: Path) -> None:
    file = operations.DOCUMENTS[name].file
    facts = yaml.safe_load((pilot / file).read_text(encoding="utf-8").split("---\n")[1])
    schema = schema_of(pilot, file, "$schema=")
    assert list(schema.iter_errors(facts)) == []
    assert list(schema.iter_errors({**facts, "unknown": 1})) != []
    for fact in facts:
        assert list(schema.iter_errors({fact: 7.5})) != [], fact


@pytest.mark.parametrize("name", operations.DOCUMENTS)
def test_an_untouched_short_paper_is_readable_and_neither_complete_nor_signed(name: str, pilot: Path) -> None:
    before = files(pilot)
    assert not [problem for problem in documents.unreadable(pilot) if name in problem.file]
    found = operations.issues(pilot, name)
    assert len(found) > 3
    assert not [problem for problem in found if "does not name" in problem.what or "may disagree" in problem.what]
    assert operations.read(pilot, name).page.split("\n")[0].endswith(": Ticket triage")
    with pytest.raises(PilotError, match="is not complete yet"):
        signatures.sign(pilot, name, "Ada Byron <ada@example.org>", "owner", TODAY)
    assert files(pilot) == before


def test_the_schemas_of_rows_hold_for_rows(pilot: Path) -> None:
    rows: dict[str, dict[str, Any]] = {
        "candidates": {
            **dict.fromkeys(COLUMNS, "said so"),
            "impact": 4,
            "feasibility": 5,
            "readiness": 1,
            "selected": "",
        },
        "baseline": {"id": "A-1", "measured_on": "2026-11-23", "measured_by": "Ada Byron", "seconds": 540},
        "gaps": {**dict.fromkeys(GAP_COLUMNS, ""), "gap": "none", "area": "failover", "effort_days": 0.5},
        "interview": {"date": "2027-02-10", "role": "dispatcher", "helped": "partly", "again": "yes"},
    }
    for name, row in rows.items():
        schema = Draft202012Validator(json.loads((pilot / f"pilot/schemas/{name}.schema.json").read_text()))
        assert list(schema.iter_errors(row)) == []
        assert list(schema.iter_errors({**row, "unknown": 1})) != []
        number = {"candidates": "impact", "gaps": "effort_days", "interview": "helped"}.get(name, "seconds")
        assert list(schema.iter_errors({**row, number: -1})) != []
