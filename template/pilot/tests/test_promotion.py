"""A candidate learns from what people decided, answers once it has proven itself, and can be taken back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import App, AppMaker, wait_until
from example_team import Item, Prediction, Rules
from sqlalchemy import select
from stub_llm import Reply, StubLlm, good
from typer.testing import CliRunner, Result

from pilot import contract
from pilot.cli import app as command
from pilot.contract import Answer, PilotError, Team
from pilot.models.llm import LlmModel
from pilot.models.onnx import OnnxTextClassifier
from pilot.models.store import ModelStore
from pilot.models.training import train_text_classifier
from pilot.operations import replay
from pilot.records import controls, outcomes
from pilot.records.crypto import Vault
from pilot.records.database import writing
from pilot.records.outcomes import Outcome
from pilot.records.tables import audit as trail
from pilot.records.tables import items
from pilot.workbench import promotion

WORDS = {"access": "password login account", "billing": "invoice charge card", "hardware": "printer screen cable"}
ADA = "Ada Byron <ada@example.org>"


def text(item: Any) -> str:
    return str(item.text)


def load(settings: Any) -> OnnxTextClassifier:
    return OnnxTextClassifier.load(settings, text=text, prediction=lambda label: Prediction(label=label))


def fit(given: Any, labels: Any, settings: Any) -> Any:
    return train_text_classifier(given, labels, settings, text=text)


TEAM = Team(item=Item, prediction=Prediction, model=load, rules=Rules, train=fit)


def drawn(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts of three words, two of them of their label, with that label."""
    draw, found = random.Random(seed), []
    noise = ["please", "help", "me", "with", "this", "today", "again", "now", "soon", "thanks"]
    for number in range(count):
        label = draw.choice(sorted(WORDS))
        words = [*draw.sample(WORDS[label].split(), 1), *draw.sample(noise, 3), f"n{seed}x{number}"]
        draw.shuffle(words)
        found.append((" ".join(words), label))
    return found


@pytest.fixture
def served(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> App:
    return started(make_app, monkeypatch, tmp_path)


def started(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> App:
    """A pilot whose first model learned from three rows of each label with every second one wrong."""
    monkeypatch.setattr(contract, "load_team", lambda: TEAM)
    (tmp_path / "phases/1-scope").mkdir(parents=True)
    (tmp_path / "phases/1-scope/charter.md").write_text("---\npilot: Test\n---\n")
    monkeypatch.chdir(tmp_path)
    first = drawn(60, 1)
    shuffled = [(said, "billing" if n % 2 else label) for n, (said, label) in enumerate(first)]
    from pilot.settings import load_settings

    fit([Item(text=said) for said, _ in shuffled], [label for _, label in shuffled], load_settings(root=tmp_path))
    return make_app(mode="assist", team=TEAM)


def decided(app: App, rows: list[tuple[str, str]], poison: float = 0.0, by: str = "rita") -> None:
    """Live items with what a person decided, a share `poison` of those to learn from wrongly."""
    draw = random.Random(7)
    for number, (said, label) in enumerate(rows):
        item = app.post(said).json()["id"]
        wrong = number < 0.8 * len(rows) and draw.random() < poison
        final = draw.choice([other for other in WORDS if other != label]) if wrong else label
        with writing(app.service.engine) as connection:
            judged = Outcome(final=Prediction(label=final), made_by=by)
            outcomes.judge(connection, Vault(()), Prediction, item, judged)


def pilot(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["model", *arguments])


def candidate(app: App) -> str:
    with app.service.engine.connect() as connection:
        return str(controls.model_history(connection)[-1]["version"])


def test_a_better_candidate_is_promoted_obeyed_and_rolled_back(served: App) -> None:
    decided(served, drawn(320, 2))
    before = served.service.model.version
    made = pilot("retrain")
    assert made.exit_code == 0, made.output
    assert ModelStore(served.settings.models).active() == before, "a candidate does not answer"
    version = candidate(served)
    assert f"To put it in force: pilot model promote {version}" in made.stdout
    again = pilot("retrain")
    assert candidate(served) == version, again.output

    promoted = pilot("promote", version, "--as", ADA)
    assert promoted.exit_code == 0, promoted.output
    wait_until(lambda: served.service.model.version == version, 10)
    assert (
        f'pilot_model_info{{kind="OnnxTextClassifier",version="{version}"}} 1.0' in served.get("/metrics", "olga").text
    )
    assert served.get(f"/v1/predictions/{served.post('printer today').json()['id']}").status_code == 200

    back = pilot("rollback")
    assert back.exit_code == 0, back.output
    wait_until(lambda: served.service.model.version == before, 10)
    assert isinstance(pilot("rollback").exception, PilotError)
    told = pilot("history").stdout.splitlines()
    assert [line.split(",")[0].split("  ")[-1] for line in told] == [
        "retrained",
        "retrained",
        "promoted",
        "rolled back",
    ]
    assert ADA in told[2]
    events = [row.event for row in served.rows(trail) if row.event.startswith("model.")]
    assert events == ["model.retrained", "model.retrained", "model.promoted", "model.rolled_back"]


def test_a_candidate_that_was_not_judged_to_the_end_is_judged_on_from_there(
    served: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    decided(served, drawn(100, 2))
    served.post("nobody decides this")
    rows, store, before = drawn(300, 9), ModelStore(served.settings.models), served.service.model.version
    fit([Item(text=said) for said, _ in rows], [label for _, label in rows], served.settings)
    version = store.active() or ""
    store.activate(before)
    monkeypatch.setattr(replay, "CHUNK", 40)
    asked: list[int] = []
    answer, stops = replay._Worker.answer, [True]

    def breaks(worker: Any, chunk: replay.Chunk) -> Any:
        if stops and len(asked) == 2:
            raise KeyboardInterrupt
        found = answer(worker, chunk)
        asked.append(found[0])
        return found

    monkeypatch.setattr(replay._Worker, "answer", breaks)
    folder = tmp_path / "var/replay" / f"{version}-promote"
    assert pilot("promote", version, "--as", ADA).exit_code != 0
    assert len(list(folder.glob("*.jsonl"))) == 2
    stops.clear()
    done = pilot("promote", version, "--as", ADA)
    assert done.exit_code == 0, done.output
    assert asked == [40, 40, 20], "each judged item once, and no other"
    assert "100 judged items" in done.stdout
    assert not folder.exists(), "nothing of the items is left behind"


def test_a_candidate_of_poisoned_labels_is_not_promoted(served: App) -> None:
    decided(served, drawn(320, 2))
    pilot("retrain")
    good = candidate(served)
    assert pilot("promote", good, "--as", ADA).exit_code == 0
    with writing(served.service.engine) as connection:
        connection.execute(outcomes.outcomes.delete())
        connection.execute(outcomes.answers.delete())
        connection.execute(items.delete())
    wait_until(lambda: served.service.model.version == good, 10)
    decided(served, drawn(400, 3), poison=0.2)
    poisoned = pilot("retrain")
    assert "something is wrong with the earlier ones" in str(poisoned.exception)
    assert candidate(served) == good, "nothing was trained"


def test_one_person_who_sends_a_flood_of_opposite_labels_teaches_the_model_nothing(served: App) -> None:
    """F-37. Whoever looked at the decisions may learn from them all the same, which is on record."""
    decided(served, drawn(320, 2))
    assert pilot("retrain").exit_code == 0
    good = candidate(served)
    assert pilot("promote", good, "--as", ADA).exit_code == 0
    wait_until(lambda: served.service.model.version == good, 10)
    with writing(served.service.engine) as connection:
        connection.execute(outcomes.outcomes.delete())
        connection.execute(outcomes.answers.delete())
        connection.execute(items.delete())
    decided(served, drawn(320, 4), by="rita")
    decided(served, drawn(600, 5), poison=1.0, by="mallory")
    made = pilot("retrain")
    assert made.exception is None or isinstance(made.exception, SystemExit), made.output
    assert "left out: 600 decisions of mallory, of which the model in force agrees with" in made.output
    detail = orjson.loads([row for row in served.rows(trail) if row.event == "model.retrained"][-1].detail)
    assert (detail["left_out"], detail["trusted"]) == (["mallory"], [])
    assert detail["rows"] <= 320
    trusted = pilot("retrain", "--trust", "mallory")
    assert "left out: 600" not in trusted.output


def test_a_worse_candidate_is_promoted_upon_an_override_alone(served: App) -> None:
    decided(served, drawn(320, 2))
    pilot("retrain")
    good = candidate(served)
    bad = served.service.model.version
    assert pilot("promote", good, "--as", ADA).exit_code == 0
    refused = pilot("promote", bad, "--as", ADA)
    assert isinstance(refused.exception, PilotError)
    assert f"{good} stays in force" in str(refused.exception)
    with served.service.engine.connect() as connection:
        assert controls.model(connection) == good
    assert pilot("promote", bad, "--as", ADA, "--override", "The better one is withdrawn.").exit_code == 0
    last = [row for row in served.rows(trail) if row.event == "model.promoted"][-1]
    assert "The better one is withdrawn." in last.detail
    assert "must be proven" in last.detail


def test_a_slice_that_gets_worse_is_a_refusal_although_the_whole_is_better() -> None:
    from pilot.workbench.versions import Answered, Compared

    right, wrong = Prediction(label="access"), Prediction(label="billing")
    pairs = [Answered(str(n), wrong, right, right, 0.0, 1.0) for n in range(35)] + [
        Answered(str(n), wrong, right, wrong, 1.0, 0.0) for n in range(35, 200)
    ]
    worse = promotion._worse_slices(Compared(None, None, "", "", {}, 0, tuple(pairs)))  # type: ignore[arg-type]
    assert len(worse) == 1
    assert "35 items right that people decided as access (-100%" in worse[0]
    swapped = [replace(pair, first_right=pair.second_right) for pair in pairs]
    assert promotion._worse_slices(Compared(None, None, "", "", {}, 0, tuple(swapped))) == []  # type: ignore[arg-type]


def test_too_few_items_contradictions_and_unknown_versions_are_messages(served: App) -> None:
    decided(served, drawn(20, 2))
    few = pilot("retrain")
    assert "20 live items have a final decision, and 300 are needed" in str(few.exception)
    unknown = pilot("promote", "0123456789abcdef", "--as", ADA)
    assert isinstance(unknown.exception, PilotError)
    assert "not a person" in str(pilot("promote", "0123456789abcdef", "--as", "Ada").exception)
    in_force = pilot("promote", served.service.model.version, "--as", ADA, "--override", "again")
    assert "is in force already. A service that started before" in str(in_force.exception)
    assert f"loads the one that was trained last, {served.service.model.version} of 20" in pilot("history").stdout
    torn = [(Item(text=f"t{n}"), Prediction(label=label)) for n in range(20) for label in ("access", "billing")]
    with pytest.raises(PilotError, match="20 of 20 different texts were decided in two ways"):
        promotion._checked(served.service.team, torn, print)


@pytest.mark.parametrize("damage", ["corrupt", "missing"])
def test_a_version_that_does_not_load_leaves_the_last_good_one(served: App, damage: str) -> None:
    before = served.service.model.version
    store = ModelStore(served.settings.models)
    if damage == "corrupt":
        rows = drawn(60, 9)
        fit([Item(text=said) for said, _ in rows], [label for _, label in rows], served.settings)
        bad = store.active() or ""
        (store.folder / bad / "model.onnx").write_bytes(b"no model")
    else:
        bad = "0" * 16
    with writing(served.service.engine) as connection:
        controls.promote(connection, bad, before, "test", {})
    metrics = lambda: served.get("/metrics", "olga").text  # noqa: E731
    wait_until(lambda: "pilot_model_refused 1.0" in metrics(), 10)
    assert served.service.model.version == before
    assert served.post("invoice today").json()["status"] == "answered"
    with writing(served.service.engine) as connection:
        controls.roll_back(connection, "test")
    wait_until(lambda: "pilot_model_refused 0.0" in metrics(), 10)


def test_what_is_held_out_is_not_learned_from(served: App) -> None:
    rows = drawn(300, 2)
    decided(served, rows)
    latest = [item.id for item in served.rows(items)][-60:]
    with writing(served.service.engine) as connection:
        connection.execute(items.update().where(items.c.id.in_(latest[:1])).values(group="shop 7"))
        first = connection.execute(select(items.c.id).order_by(items.c.seq).limit(10)).scalars().all()
        connection.execute(items.update().where(items.c.id.in_(first)).values(group="shop 7"))
    more = [(Item(text=rows[-1][0]), Prediction(label=rows[-1][1]))]
    with served.service.engine.connect() as connection:
        made = promotion.retrain(TEAM, served.settings, connection, Vault(()), more, print)
        assert (made.rows, made.held_out) == (230, 60)
        found = promotion.judge(TEAM, served.settings, connection, Vault(()), made.version)
    assert {pair.item_id for pair in found.compared.pairs} >= set(latest)


def prompted(instructions: str) -> Team:
    def model(settings: Any) -> LlmModel:
        labels = tuple(WORDS)
        return LlmModel(
            settings, prediction=Prediction, labels=labels, instructions=instructions, render=lambda item: item.text
        )

    return Team(item=Item, prediction=Prediction, model=model, rules=Rules)


@pytest.fixture
def bought(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[App]:
    """A pilot that buys its model, which reads the prompt and answers a seventh of the items wrongly."""
    truth = dict(drawn(100, 5))

    def answer(text: str) -> Reply:
        wrong = sum(text.encode()) % 7 == 0
        return good("access" if wrong and truth[text] != "access" else truth[text])

    with StubLlm(answer) as stub:
        for name, value in {"MODEL": "openai:stub", "BASE_URL": stub.url, "API_KEY": "sk-canary"}.items():
            monkeypatch.setenv(f"PILOT_LLM_{name}", value)
        monkeypatch.setattr(contract, "load_team", lambda: prompted("Sort it."))
        (tmp_path / "phases/1-scope").mkdir(parents=True)
        (tmp_path / "phases/1-scope/charter.md").write_text("---\npilot: Test\n---\n")
        monkeypatch.chdir(tmp_path)
        app = make_app(mode="shadow", team=prompted("Sort it."))
        decided(app, list(truth.items()))
        app.drained()
        yield app


def test_a_changed_prompt_is_asked_for_the_judged_items_before_it_is_deployed(
    bought: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = pilot("retrain").exception
    assert isinstance(same, PilotError)
    assert "there is nothing to compare" in str(same)
    monkeypatch.setattr(contract, "load_team", lambda: prompted("Sort it, and take your time."))
    tried = pilot("retrain")
    assert tried.exit_code == 0, tried.output
    assert "on 100 judged items" in tried.stdout
    with bought.service.engine.connect() as connection:
        [entry] = controls.model_history(connection)
    assert (entry["event"], entry["rows"], entry["refusals"]) == ("model.retrained", 100, [])
    assert len(bought.rows(items)) == 100, "nothing was recorded but the trial"


def test_a_prompt_that_is_worse_did_not_prove_itself(bought: App, monkeypatch: pytest.MonkeyPatch) -> None:
    class Worse:
        version = "worse"

        async def predict_one(self, item: Any) -> Answer:
            return Answer(Prediction(label="access"), 0.9)

    worse = Team(item=Item, prediction=Prediction, model=lambda _: Worse(), rules=Rules)
    monkeypatch.setattr(contract, "load_team", lambda: worse)
    tried = pilot("retrain")
    assert tried.exit_code == 1
    assert "not proven" in tried.stdout
