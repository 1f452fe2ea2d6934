"""The system card: written from what is configured, free of secrets, and red once something of it has changed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from conftest import App, AppMaker
from cryptography.fernet import Fernet
from example_papers import edit, sign, write
from example_short import write_short

from pilot.contract import PilotError
from pilot.models.store import Card
from pilot.records import controls
from pilot.records.controls import Mode
from pilot.records.database import writing
from pilot.workbench import card
from pilot.workbench.checks import broken
from pilot.workbench.pilot import Pilot

TODAY = date(2027, 2, 12)
CODE = Path("src/ticket_triage/model.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A pilot with a signed charter, a playbook, and code."""
    write(tmp_path)
    sign(tmp_path)
    write_short(tmp_path, "playbook")
    (tmp_path / CODE).parent.mkdir(parents=True)
    (tmp_path / CODE).write_text("PROMPT = 'sort it'\n", encoding="utf-8")
    return tmp_path


def written(root: Path, app: App) -> tuple[str, set[str]]:
    """The card, and the threats that leave something to do."""
    open_ = card.write(root, app.service.team, app.settings, app.service.engine, TODAY)
    return (root / card.CARD).read_text(encoding="utf-8"), {threat.what for threat in open_}


def wrong(root: Path) -> list[str]:
    return [str(issue) for issue in broken(Pilot(root, TODAY))]


def test_a_card_tells_what_the_pilot_is_and_depends_on(root: Path, make_app: AppMaker) -> None:
    text, _ = written(root, make_app())
    for said in (
        "# System card: Ticket triage",
        "9 % of them wait in the wrong queue",
        "Ada Byron answers for it.",
        "| text (in) | str |",
        "| label (out) | str |",
        "Version local-1, in the service itself.",
        "It answers with 3 labels: refund, other, by-rule.",
        "the shift lead moves a ticket back by hand",
        "| contents at rest | in clear |",
    ):
        assert said in text
    assert "names no provider" not in text
    assert card.read(root) == {
        "sources": card.sources(root),
        "settings": card.configured(make_app().settings),
        "model": "local-1",
    }


@pytest.mark.parametrize(
    ("changes", "threat"),
    [
        ({"data_key": Fernet.generate_key().decode()}, "A stolen database or backup"),
        ({"retention_days": 400}, "Contents are kept for longer than anybody needs them"),
    ],
)
def test_a_control_that_is_set_leaves_nothing_to_do(
    changes: dict[str, str], threat: str, root: Path, make_app: AppMaker
) -> None:
    assert threat in written(root, make_app())[1]
    assert threat not in written(root, make_app(**changes))[1]


@pytest.mark.parametrize(
    ("changes", "threat"),
    [
        ({"caller_rate": 0}, "A caller takes the service from the others"),
        ({"known_interval": 0}, "The model gets worse, and nobody sees it"),
        ({"plain_hosts": "database"}, "Contents are read on the wire"),
    ],
)
def test_a_control_that_is_taken_away_is_to_do(
    changes: dict[str, str], threat: str, root: Path, make_app: AppMaker
) -> None:
    assert threat not in written(root, make_app())[1]
    assert threat in written(root, make_app(**changes))[1]


def test_a_bought_model_has_threats_of_its_own(root: Path, make_app: AppMaker) -> None:
    app = make_app("remote", "auto")
    text, open_ = written(root, app)
    assert "behind an API" in text
    assert {"The provider of the LLM learns of persons", "A flood, a loop or a mistake costs money"} <= open_
    assert "A text that is made to mislead the model" in open_
    with writing(app.service.engine) as connection:
        controls.set_mode(connection, Mode.ASSIST, "test")
    app.service.settings.llm_redact, app.service.settings.daily_cost = "DE", 20
    assert (
        not {
            "The provider of the LLM learns of persons",
            "A flood, a loop or a mistake costs money",
            "A text that is made to mislead the model",
        }
        & written(root, app)[1]
    )


def test_no_secret_is_in_a_card(root: Path, make_app: AppMaker) -> None:
    secrets = {
        "data_key": Fernet.generate_key().decode(),
        "llm_api_key": "sk-canary-4711",
        "oidc_client_secret": "canary-4712",
    }
    signing_in = {"oidc_issuer": "https://id.example", "oidc_client_id": "a", "public_url": "https://a.example"}
    text, _ = written(root, make_app(**secrets, **signing_in))
    assert "https://id.example, by email" in text
    assert not [name for name, value in secrets.items() if value in text]


@pytest.mark.parametrize("file", [CODE, Path("phases/4-harden/playbook.md"), Path("src/ticket_triage/new.py")])
def test_a_card_is_red_once_what_it_was_written_from_has_changed(file: Path, root: Path, make_app: AppMaker) -> None:
    assert wrong(root) == []
    app = make_app()
    written(root, app)
    assert wrong(root) == []
    with (root / file).open("a", encoding="utf-8") as changed:
        changed.write("# another prompt\n")
    assert wrong(root) == [f"{card.CARD}: was written before {file} changed. {card.FIX}"]
    written(root, app)
    assert wrong(root) == []


def test_a_card_that_somebody_wrote_into_is_named(root: Path, make_app: AppMaker) -> None:
    written(root, make_app())
    edit(root, "sources:", "source:", card.CARD)
    assert wrong(root) == [f"{card.CARD}: is not as `pilot card` wrote it. {card.FIX}"]
    with pytest.raises(PilotError, match="is not as"):
        card.read(root)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("classify", "was right on 90 % of"),
        ("extract", "found 95 % of the fields, all of them in 90 % of"),
        ("draft", "wrote 25 % of the words as people did for"),
        ("score", "was off by 1.08 on average (the median of all: 1.22) for"),
    ],
)
def test_a_card_tells_what_was_measured_of_a_model_of_each_task(task: str, said: str) -> None:
    measured = {
        "classify": {"labels": ("a", "b"), "accuracy": 0.9},
        "extract": {"labels": ("O", "B-a"), "accuracy": 0.9, "scores": [{"name": "fields right", "value": 0.95}]},
        "draft": {"scores": [{"name": "edit similarity", "value": 0.25}]},
        "score": {"scores": [{"name": name, "value": value, "better": "less"} for name, value in OFF.items()]},
    }
    made = {"steps": "", "onnx_sha256": "", "data_sha256": "", "rows": 9, "agreement": 1, "folds": 5, "created": ""}
    model = Card.model_validate({"task": task, "libraries": {}, **made, **measured[task]})
    assert card._measured(model) == said


OFF = {"mean absolute error": 1.081, "mean absolute error of the median": 1.22}
