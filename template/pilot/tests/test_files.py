"""Papers that a later version brought, the form of those at hand, and the schemas of their facts."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from example_papers import edit, write

import schemas
from pilot.charter import CHARTER, OBJECTIVES
from pilot.contract import PilotError
from pilot.workbench.documents import files
from pilot.workbench.documents.baseline import BASELINE
from pilot.workbench.documents.candidates import CANDIDATES
from pilot.workbench.documents.costs import COSTS
from pilot.workbench.documents.gaps import COLUMNS, GAPS
from pilot.workbench.documents.interviews import INTERVIEWS

SCHEMAS = Path(__file__).parents[1] / "schemas"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path)


@pytest.mark.parametrize("name", ["baseline.md", "2-build/baseline.md", "phases/2-build/baseline.md"])
def test_a_paper_is_added_by_its_name_and_never_replaced(name: str, root: Path) -> None:
    file = files.add(root, name)
    assert file == root / "phases" / "2-build" / "baseline.md"
    file.write_text("ours\n")
    with pytest.raises(PilotError, match=r"baseline\.md is there already, and stays as it is"):
        files.add(root, name)
    assert file.read_text() == "ours\n"


@pytest.mark.parametrize(("name", "said"), [("nothing", "There is no document"), ("baseline", "several documents")])
def test_a_name_that_means_no_paper_or_two_lists_those_there_are(name: str, said: str, root: Path) -> None:
    with pytest.raises(PilotError, match=f"{said}.*2-build/baseline.csv, 2-build/baseline.md"):
        files.add(root, name)


@pytest.mark.parametrize("name", ["../pyproject.toml", "/etc/passwd", "", "."])
def test_no_name_leads_out_of_the_papers(name: str, root: Path) -> None:
    with pytest.raises(PilotError, match="There is no document"):
        files.add(root, name)


def test_papers_that_can_be_read_have_no_problem_whatever_they_say(root: Path) -> None:
    assert files.unreadable(root) == []
    (root / CANDIDATES).write_text((root / CANDIDATES).read_text().split("\n")[0])
    (root / CHARTER).write_text("---\n---\n")
    assert files.unreadable(root) == []


HARMS = {
    "a word for a number": (CHARTER, "weeks: 6", "weeks: six", ":13: weeks"),
    "wrong YAML": (CHARTER, "weeks: 6", "weeks: [", "is not YAML"),
    "a comma in a cell": (CANDIDATES, "two clerks all day", "two clerks, all day", ":3: the row has 11 fields"),
    "a missing column": (CANDIDATES, "readiness_evidence,", "", ":1: the header is missing 'readiness_evidence'"),
    "a score out of range": (
        CANDIDATES,
        "Ticket triage,4",
        "Ticket triage,7",
        ":2: impact: Input should be less than",
    ),
    "a score without evidence": (CANDIDATES, "two clerks all day", "", ":3: impact_evidence: is empty"),
    "a measurement": (BASELINE, "540", "nine", ":2: seconds: Input should be a valid number"),
    "an objective": (OBJECTIVES, "0.99", "99", ":1: availability"),
    "a range": (COSTS, "[20, 21, 22]", "[22, 21, 20]", ":1: working_days: write [low, likely, high]"),
    "a severity": (
        GAPS,
        "authentication,major",
        "authentication,high",
        ":2: severity: Input should be",
    ),
    "a conversation": (INTERVIEWS / "2027-02-10-1.md", "helped: yes", "helped: perhaps", ":4: helped"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_paper_that_cannot_be_read_is_named_with_its_line_and_the_mend(harm: str, root: Path) -> None:
    (root / BASELINE).parent.mkdir()
    (root / BASELINE).write_text("id,measured_on,measured_by,seconds\nA-1,2026-10-05,Ada Byron,540\n")
    (root / OBJECTIVES).parent.mkdir()
    (root / OBJECTIVES).write_text("availability = 0.99\n")
    for paper, text in {
        COSTS: "working_days = [20, 21, 22]\n",
        GAPS: f"{','.join(COLUMNS)}\nno single sign-on,authentication,major,,,,,\n",
        INTERVIEWS / "2027-02-10-1.md": "---\ndate: 2027-02-10\nrole: dispatcher\nhelped: yes\n---\n",
    }.items():
        (root / paper).parent.mkdir(parents=True, exist_ok=True)
        (root / paper).write_text(text)
    assert files.unreadable(root) == []
    paper, was, is_now, said = HARMS[harm]
    edit(root, was, is_now, paper)
    [problem] = files.unreadable(root)
    assert said in str(problem)
    assert problem.file == paper.as_posix()


def test_the_schemas_on_disk_are_those_of_the_code(tmp_path: Path) -> None:
    schemas.write(tmp_path)
    made = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_bytes() for file in SCHEMAS.iterdir()}, (
        "run `python tests/schemas.py schemas` in template/pilot"
    )


def test_a_schema_names_each_fact_and_no_other() -> None:
    for name, schema in schemas.schemas().items():
        assert schema["additionalProperties"] is False, name
        assert schema["properties"], name
        assert orjson.loads(orjson.dumps(schema)) == schema
