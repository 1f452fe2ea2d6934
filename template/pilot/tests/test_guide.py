"""The user guide: read before the first decision, again when it has changed, and asked for before a stage opens."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
from conftest import App, AppMaker
from example_papers import sign, write
from example_short import write_short
from starlette.testclient import TestClient
from typer.testing import CliRunner

from pilot.cli import app as command
from pilot.records import controls, keys
from pilot.records.database import writing
from pilot.records.tables import audit
from pilot.serving.guide import Guide
from pilot.workbench.documents import operations

HERE = "http://127.0.0.1:8000"
TEXT = "# User guide: X\n\n## What it does\n\n- proposes <b>queues</b>\n- is fast\n\nA program\nmakes the answers.\n"
GUIDE = Guide(TEXT)


class Reader:
    """A reviewer's browser, signed in."""

    def __init__(self, app: App, name: str = "rita") -> None:
        self.client = TestClient(app.client.app, HERE, raise_server_exceptions=False, follow_redirects=False)
        self.client.portal = app.client.portal
        assert self.send("/login", key=app.keys[name]).status_code == 303

    def get(self, path: str) -> tuple[int, str]:
        """The status, and the text or where it leads."""
        answer = self.client.get(path)
        return answer.status_code, answer.headers.get("location", answer.text)

    def send(self, path: str, **form: str) -> TestClient:
        return self.client.post(path, data=form, headers={"origin": HERE, "sec-fetch-site": "same-origin"})  # type: ignore[return-value]

    def reads(self, onward: str = "") -> str:
        page = self.get(f"/guide{onward}")[1]
        hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.split('action="/guide"')[1]))
        return str(self.send("/guide", **hidden).headers["location"])  # type: ignore[attr-defined]


def test_the_guide_comes_before_the_first_decision_and_then_no_more(make_app: AppMaker) -> None:
    app = make_app(mode="assist", guide=GUIDE)
    item = app.post().json()["id"]
    reader = Reader(app)
    assert reader.get("/review") == (303, "/guide")
    assert reader.get(f"/review/{item}") == (303, f"/guide?onward=/review/{item}")
    assert reader.reads(f"?onward=/review/{item}") == f"/review/{item}"
    assert reader.get("/review")[0] == reader.get(f"/review/{item}")[0] == 200
    assert "I have read it" not in reader.get("/guide")[1]
    assert Reader(app).get("/review")[0] == 200, "in another session too"
    (entry,) = [row for row in app.rows(audit) if row.event == "guide.read"]
    assert (entry.actor, orjson.loads(entry.detail)) == ("rita", {"version": GUIDE.version})


def test_a_guide_that_changed_is_read_again(make_app: AppMaker) -> None:
    app = make_app(guide=GUIDE)
    reader = Reader(app)
    reader.reads()
    app.client.app.state.guide = Guide(TEXT + "\n## More\n\nIt does not read attachments.\n")  # type: ignore[attr-defined]
    assert reader.get("/review") == (303, "/guide")
    assert "it has changed since you read it" in reader.get("/guide")[1]
    assert "It does not read attachments." in reader.get("/guide")[1]


def test_the_page_is_the_guide_and_runs_nothing_of_it(make_app: AppMaker) -> None:
    page = Reader(make_app(guide=GUIDE)).get("/guide")[1]
    assert "<li>proposes &lt;b&gt;queues&lt;/b&gt;</li>" in page
    assert "<p>A program makes the answers.</p>" in page


def test_without_a_guide_nobody_is_held_up(make_app: AppMaker) -> None:
    reader = Reader(make_app())
    status, page = reader.get("/review")
    assert (status, "/guide" in page) == (200, False)
    assert reader.get("/guide")[0] == 404


@pytest.mark.parametrize("form", [{}, {"token": "of another session"}])
def test_reading_is_said_by_the_page_alone(form: dict[str, str], make_app: AppMaker) -> None:
    app = make_app(guide=GUIDE)
    reader = Reader(app)
    assert reader.send("/guide", version=GUIDE.version, **form).status_code == 403  # type: ignore[attr-defined]
    assert reader.get("/review") == (303, "/guide")


@pytest.mark.parametrize("onward", ["https://evil.example", "//evil.example", "/review/../logout"])
def test_it_leads_back_to_items_alone(onward: str, make_app: AppMaker) -> None:
    assert Reader(make_app(guide=GUIDE)).reads(f"?onward={onward}") == "/review"


def test_who_did_not_read_it_is_named_before_a_stage_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_app: AppMaker
) -> None:
    write(tmp_path)
    sign(tmp_path)
    monkeypatch.chdir(tmp_path)
    app = make_app(mode="assist")
    with writing(app.service.engine) as connection:
        controls.mark_scratch(connection, "olga")
        keys.create(connection, "reviewer", "Bob", "live", "olga")

    def said() -> str:
        return CliRunner().invoke(command, ["rollout", "to", "10%"], input="n\n").output

    assert "Not trained: the user guide is not written." in said()
    write_short(tmp_path, "user-guide")
    assert "Not trained: Bob, rita did not read the present user guide" in said()
    text = operations.complete_page(tmp_path, operations.GUIDE)
    assert text is not None
    app.client.app.state.guide = Guide(text)  # type: ignore[attr-defined]
    page = Reader(app).get("/guide")[1]
    assert "{" not in page.split("<main")[1], "the facts are in place"
    Reader(app).reads()
    assert "Not trained: Bob did not read" in said()


def test_a_guide_that_is_not_complete_is_none(tmp_path: Path) -> None:
    write(tmp_path)
    assert operations.complete_page(tmp_path, operations.GUIDE) is None
