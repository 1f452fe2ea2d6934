"""`pilot decide`, `pilot close`, `pilot brief` and `pilot mode` of a closed pilot, as a user types them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import AppMaker
from example_papers import ADA, edit
from example_short import write_short
from example_team import make_team
from test_gates_decide import BECAUSE, SUE, TODAY, Pilot
from test_gates_decide import pilot as made
from typer.testing import CliRunner

from pilot import contract
from pilot.charter import CHARTER
from pilot.cli import app as command
from pilot.cli import main
from pilot.cli.common import WORDS
from pilot.records import controls
from pilot.workbench import decision, evidence
from pilot.workbench.documents import interviews, operations

__all__ = ["made"]
Says = Callable[..., tuple[int, str]]
NO_GO = ("decide", "no-go", "--because", "it is wrong about every third ticket")
GO = ("decide", "go", "--because", BECAUSE)


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Says:
    """`says(*words)`: the exit code of the command and all that it printed, which is never a traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "olga")
    monkeypatch.setattr(contract, "load_team", lambda: make_team(calls=tmp_path / "calls"))

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["pilot", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        found = capsys.readouterr()
        assert "Traceback" not in found.out + found.err
        return int(ended.value.code or 0), found.out + found.err

    return run


@pytest.fixture
def pilot(made: Pilot, monkeypatch: pytest.MonkeyPatch) -> Pilot:
    """A pilot that deserves a go, whose commands find its data key."""
    key = made.app.settings.data_key
    assert key is not None
    monkeypatch.setenv("PILOT_DATA_KEY", key.get_secret_value())
    return made.works()


def kept(root: Path) -> dict[str, bytes]:
    """The papers and the evidence."""
    return {path.as_posix(): path.read_bytes() for path in (root / "phases").rglob("*") if path.is_file()}


def test_a_go_is_written_shown_and_seen_by_a_deploy(pilot: Pilot, says: Says) -> None:
    assert says("decide") == (1, "There is no decision. A production deploy needs a go: `pilot decide go`.\n")
    code, said = says(*GO, "--shared-with", "Tom Reed", "--shared-with", "Lea Lock")
    assert code == 0
    assert "wrote phases/3-decide/decisions/0001-go.md and phases/evidence/" in said
    record = (pilot.root / decision.FOLDER / "0001-go.md").read_text(encoding="utf-8")
    assert "by Ada Byron (ada@example.org)" in record
    assert "Shared with: Tom Reed, Lea Lock." in record
    report = (pilot.root / decision.FOLDER / "0001-report.md").read_text(encoding="utf-8")
    assert "## Verdict: MET" in report
    assert "Disagreements are not listed" not in report
    code, said = says("decide")
    assert (code, said.startswith(f"go, decided on {TODAY} by {ADA} (") and f"The reason: “{BECAUSE}”" in said) == (
        0,
        True,
    )
    edit(pilot.root, "**go**", "**stop**", decision.FOLDER / "0001-go.md")
    code, said = says("decide")
    assert (code, "It does not stand" in said) == (1, True)


def test_a_go_says_until_when_what_happens_and_who_mends_what_is_missing(pilot: Pilot, says: Says) -> None:
    says(*GO)
    record = (pilot.root / decision.FOLDER / "0001-go.md").read_text(encoding="utf-8")
    assert f"From {TODAY} to {TODAY + timedelta(weeks=4)} it is made fit" in record
    assert "who fixes it: Grace Hopper" in record
    assert "its budget (40,000 EUR), and Grace Hopper runs it" in record
    assert not re.search(r"\\\*|\\`|Wilson|P50|\[0\.", record)


def test_what_is_refused_writes_nothing(pilot: Pilot, says: Says) -> None:
    for talk in (pilot.root / interviews.INTERVIEWS).glob("*.md"):
        talk.unlink()
    before = kept(pilot.root)
    refused = {
        GO: "A go needs 1 more:\n  Have enough users been heard?",
        (*GO, "--override", "the users are on strike this week"): "An override needs the person",
        ("decide", "maybe", "--because", BECAUSE): "'maybe' is no decision. Use one of: go, no-go, extend.",
        ("decide", "no-go"): "The reason is empty or a placeholder.",
        ("decide", "extend", "--because", BECAUSE, "--weeks", "9"): "An extension is 1 to 2 weeks",
        ("close",): "Only a no-go ends a pilot.",
    }
    for words, what in refused.items():
        code, said = says(*words)
        assert (code, what in said) == (1, True), said
    assert kept(pilot.root) == before
    assert says("decide", "go", "--weeks", "two")[0] == 2
    code, _ = says(*GO, "--override", "the users are on strike this week", "--as", SUE)
    assert (code, says("decide")[0]) == (0, 0)


@pytest.mark.parametrize("folder", ["phases/3-decide", "src"])
def test_from_a_folder_below_the_pilots(folder: str, pilot: Pilot, says: Says, monkeypatch: pytest.MonkeyPatch) -> None:
    (pilot.root / folder).mkdir(exist_ok=True)
    monkeypatch.chdir(pilot.root / folder)
    assert says("brief")[0] == 0
    assert (pilot.root / "var" / "brief.html").is_file()
    assert says(*NO_GO)[0] == 0
    assert (pilot.root / decision.FOLDER / "0001-no-go.md").is_file()
    assert says("close")[0] == 1


@pytest.mark.parametrize("words", [("decide",), GO, NO_GO, ("close",), ("brief",), ("mode", "assist")])
def test_outside_of_a_pilot_each_says_so(words: tuple[str, ...], says: Says, tmp_path: Path) -> None:
    code, said = says(*words)
    assert (code, "Run this in a pilot" in said) == (1, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("harm", [b"---\nweeks: [\n---\n", b"no fences", b""])
def test_a_broken_charter_is_told_and_what_was_signed_counts(harm: bytes, pilot: Pilot, says: Says) -> None:
    (pilot.root / CHARTER).write_bytes(harm)
    assert says("brief")[0] == 0
    code, said = says(*GO)
    assert (code, "Is the charter as its owner signed it?" in said) == (1, True)
    assert says(*NO_GO)[0] == 0


def test_a_charter_that_is_no_text_is_named_and_nothing_is_written(pilot: Pilot, says: Says) -> None:
    (pilot.root / CHARTER).write_bytes(b"\xff\xfe")
    before = kept(pilot.root)
    for words in (("brief",), GO, NO_GO):
        code, said = says(*words)
        assert (code, CHARTER.as_posix() in said) == (1, True), said
    assert kept(pilot.root) == before


def test_an_unsigned_charter_that_is_broken_decides_nothing(tmp_path: Path, says: Says, make_app: AppMaker) -> None:
    make_app()
    (tmp_path / CHARTER).parent.mkdir(parents=True)
    (tmp_path / CHARTER).write_bytes(b"---\nweeks: [\n---\n")
    code, said = says(*GO)
    assert (code, "There is nothing to decide before the charter is signed" in said) == (1, True)
    code, said = says("brief")
    assert (code, "charter.md" in said) == (1, True)


def test_a_scratch_database_gets_no_go_and_closes_nothing(
    pilot: Pilot, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOT_DATABASE_URL", "sqlite:///var/scratch.db")
    assert says("mode", "assist", "--scratch")[0] == 0
    code, said = says(*GO)
    assert (code, "scratch database" in said) == (1, True)
    assert says("brief")[0] == 0
    assert says(*NO_GO)[0] == 0
    code, said = says("close")
    assert (code, "to close it ends nothing" in said) == (1, True)
    assert "the pilot is closed" not in says("mode")[1]


def test_a_database_that_is_away_is_a_message(pilot: Pilot, says: Says, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_DATABASE_URL", "postgresql://pilot@127.0.0.1:1/pilot")
    assert says("brief")[0] == 0
    assert "cannot be used" in (pilot.root / "var" / "brief.html").read_text(encoding="utf-8")
    code, said = says(*GO)
    assert (code, "A go needs" in said) == (1, True)
    assert says(*NO_GO)[0] == 0
    code, said = says("close")
    assert (code, "cannot be used" in said) == (1, True)


def test_a_closed_pilot_lists_what_is_left_and_keeps_its_mode(pilot: Pilot, says: Says) -> None:
    says(*NO_GO)
    code, said = says("close")
    assert code == 1
    assert "callers get needs_human with reason closed" in said
    held = re.findall(r"`pilot keys revoke (\w+)`", said)
    assert len(held) == 5
    assert "shadow, and the pilot is closed" in says("mode")[1]
    for mode in ("off", "assist", "auto"):
        code, refused = says("mode", mode)
        assert (code, "its mode does not change" in refused) == (1, True)
    for key in held:
        assert says("keys", "revoke", key)[0] == 0
    write_short(pilot.root, "closing")
    for day in ("2027-03-29", "2027-03-30"):
        edit(pilot.root, day, TODAY.isoformat(), operations.DOCUMENTS["closing"].file)
    code, said = says("close")
    assert (code, "Nothing is left to do." in said) == (0, True)


def test_a_reversal_opens_it_again(pilot: Pilot, says: Says) -> None:
    says(*NO_GO)
    says("close")
    assert says(*GO)[0] == 0
    assert says("mode", "off")[0] == 0
    assert "the pilot is closed" not in says("mode")[1]
    with pilot.app.service.engine.connect() as connection:
        assert not controls.closed(connection)
    assert [entry.facts["decision"] for entry in evidence.read(pilot.root).entries if entry.kind == "decision"] == [
        "no-go",
        "go",
    ]


def test_a_brief_is_one_page_where_it_is_asked_for(pilot: Pilot, says: Says) -> None:
    assert says("brief", "--out", "sub/brief.html")[0] == 0
    assert (pilot.root / "sub" / "brief.html").is_file()
    for name, what in (("brief.txt", "is not .html"), ("measured.csv/brief.html", "measured.csv")):
        code, said = says("brief", "--out", name)
        assert (code, what in said) == (1, True), said
    page = (pilot.root / "sub" / "brief.html").read_text(encoding="utf-8")
    assert "Nothing: all its conditions hold." in page
    assert f"To be decided by {TODAY}." in page
    says(*NO_GO)
    says("brief")
    page = (pilot.root / "var" / "brief.html").read_text(encoding="utf-8")
    assert f"Decided on {TODAY}: <strong>no-go</strong>. The reason: “it is wrong about every third ticket.”" in page
    assert "The plan" not in page


def test_the_help_names_the_papers() -> None:
    assert set(WORDS) == set(operations.DOCUMENTS)
    for words in (["sign", "--help"], ["paper", "show", "--help"]):
        said = re.sub(r"[^\w-]+", " ", CliRunner().invoke(command, words, terminal_width=200).stdout)
        for name in ("handoff", "playbook", "security-review", "closing", *(["charter"] if "sign" in words else [])):
            assert name in said, f"pilot {' '.join(words)} does not name {name}"
