from datetime import date
from pathlib import Path

import pytest

from pilot.charter import CHARTER, OBJECTIVES, Charter, Objectives, read_charter, read_objectives
from pilot.contract import PilotError

FILLED = """\
---
pilot: "Ticket triage"
regulated: yes
metric: accuracy
unit: share
direction: up
target: 0.85
judged_items: 300
volume_now: 50
busiest_hour_share: 0.2
guardrails:
  - {metric: cycle_time, direction: down, margin: 0.5}
audit_share: 0.1
interval: fixed
weeks: 6
decision_by: 2027-03-31
owner:
  name: "Ada Byron"
  email: ada@example.org
  technical_authority: yes
  operational_authority: yes
budget: 40000
risks: [wrong queue for urgent tickets]
alternatives:
  - {option: a form, why_not: customers pick the first entry}
---

# Charter
"""


def write(root: Path, paper: Path, text: str) -> None:
    (root / paper).parent.mkdir(parents=True, exist_ok=True)
    (root / paper).write_text(text, encoding="utf-8")


def test_a_filled_charter_is_read(tmp_path: Path) -> None:
    write(tmp_path, CHARTER, FILLED)
    charter = read_charter(tmp_path)
    assert charter is not None
    assert charter.regulated is True
    assert charter.audit_share == 0.1
    assert charter.decision_by == date(2027, 3, 31)
    assert charter.owner.technical_authority is True
    assert charter.guardrails[0].margin == 0.5
    assert charter.alternatives[0].option == "a form"


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ("decision_by: 2027-3-1", "decision_by", date(2027, 3, 1)),
        ("volume_now: 1_000", "volume_now", 1000),
        ("budget: 40_000", "budget", 40000),
        ("budget: 40000 EUR", "budget", "40000 EUR"),
        ("pilot: 2027", "pilot", "2027"),
        ("regulated: On", "regulated", True),
        ("currency: NO", "currency", "NO"),
        ("weeks: ~", "weeks", None),
    ],
)
def test_a_value_is_read_by_what_its_fact_is(tmp_path: Path, written: str, name: str, value: object) -> None:
    write(tmp_path, CHARTER, f"---\n{written}\n---\n")
    assert getattr(read_charter(tmp_path), name) == value


@pytest.mark.parametrize("written", ["2027-02-30", "tuesday", "20270301", "0", "2027-13-01"])
def test_what_is_no_day_is_refused(tmp_path: Path, written: str) -> None:
    write(tmp_path, CHARTER, f"---\ndecision_by: {written}\n---\n")
    with pytest.raises(PilotError, match=r"charter\.md:2: decision_by: Input should be a valid date such as"):
        read_charter(tmp_path)


def test_no_charter_is_none(tmp_path: Path) -> None:
    assert read_charter(tmp_path) is None


def test_every_fact_of_the_charter_may_be_empty(tmp_path: Path) -> None:
    write(tmp_path, CHARTER, "---\n" + "".join(f"{name}:\n" for name in Charter.model_fields) + "---\n")
    assert read_charter(tmp_path) == Charter()


@pytest.mark.parametrize(
    ("was", "is_now", "says"),
    [
        ("target: 0.85", "target: high", r":7: target: .*number"),
        ("audit_share: 0.1", "audit_share: 10", r":13: audit_share: .*less than or equal to 1"),
        ("metric: accuracy", "metric: happiness", r":4: metric: There is no metric happiness. .*cycle_time"),
        (
            "  email: ada@example.org",
            "  mail: ada@example.org",
            r":19: owner.mail: is not known. Did you mean email",
        ),
        ("margin: 0.5", "margin: -1", r":12: guardrails.0.margin: "),
        ("weeks: 6", "week: 6", r":15: week: is not known. Did you mean weeks"),
        ("weeks: 6", "weeks: 6\ntarget: 0.9", r":16: is not YAML \(target is there twice\)"),
        ("  email: ada", "  name: Bob\n  email: ada", r":19: is not YAML \(name is there twice\)"),
        ("risks: [wrong", "risks: [wrong: a: b", r":\d+: is not YAML .*double quotes"),
    ],
)
def test_a_wrong_fact_is_named_with_its_line_and_the_mend(tmp_path: Path, was: str, is_now: str, says: str) -> None:
    assert was in FILLED
    write(tmp_path, CHARTER, FILLED.replace(was, is_now))
    with pytest.raises(PilotError, match=says):
        read_charter(tmp_path)


def test_all_wrong_facts_are_listed_at_once(tmp_path: Path) -> None:
    write(tmp_path, CHARTER, "---\nweeks: soon\ntarget: high\n---\n")
    with pytest.raises(PilotError, match=r"(?s):2: weeks.*:3: target|:3: target.*:2: weeks"):
        read_charter(tmp_path)


@pytest.mark.parametrize("text", ["# Charter\n", "---\nweeks: 6\n", "\n---\nweeks: 6\n---\n", ""])
def test_a_charter_without_its_facts_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, CHARTER, text)
    with pytest.raises(PilotError, match="three dashes"):
        read_charter(tmp_path)


def test_facts_that_are_a_list_are_refused(tmp_path: Path) -> None:
    write(tmp_path, CHARTER, "---\n- weeks\n---\n")
    with pytest.raises(PilotError, match="the facts"):
        read_charter(tmp_path)


def test_a_charter_in_another_encoding_is_refused(tmp_path: Path) -> None:
    write(tmp_path, CHARTER, "")
    (tmp_path / CHARTER).write_bytes("---\npilot: Müller\n---\n".encode("latin-1"))
    with pytest.raises(PilotError, match="UTF-8"):
        read_charter(tmp_path)


def test_objectives_are_read(tmp_path: Path) -> None:
    write(tmp_path, OBJECTIVES, "availability = 0.995\nlatency_p95_ms = 250\n")
    objectives = read_objectives(tmp_path)
    assert objectives == Objectives(availability=0.995, window_days=28, latency_p95_ms=250)


def test_without_a_file_the_objectives_are_the_defaults(tmp_path: Path) -> None:
    assert read_objectives(tmp_path) == Objectives()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("availability = 99\n", r":1: availability: .*less than 1"),
        ("window_days = 28\nlatency_p95_ms = 0\n", r":2: latency_p95_ms: .*greater than 0"),
        ("latncy_p95_ms = 1\n", r":1: latncy_p95_ms: is not known. Did you mean latency_p95_ms"),
        ("availability: 0.99\n", r"is not TOML .*line 1.*name = value"),
    ],
)
def test_wrong_objectives_are_refused(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, OBJECTIVES, text)
    with pytest.raises(PilotError, match=says):
        read_objectives(tmp_path)
