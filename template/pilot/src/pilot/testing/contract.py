"""What the wrapper relies on in the team's code, as tests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr, ValidationError
from sqlalchemy import select
from starlette.testclient import TestClient

from pilot.contract import (
    Answer,
    Failure,
    Item,
    LocalModel,
    Model,
    ModelUnavailable,
    Prediction,
    Team,
    is_remote,
    labels,
    load_team,
    only_field,
)
from pilot.models.examples import lessons, read_examples
from pilot.records import controls, keys
from pilot.records.controls import Mode
from pilot.records.database import migrate, open_database, writing
from pilot.records.tables import answers, items, outcomes
from pilot.serving.app import create_app
from pilot.settings import Settings, find_root, load_settings

Examples = list[tuple[Item, Prediction]]


class TeamContract:
    """One test for each point. A team writes `class TestContract(TeamContract)`, and overrides a fixture where it wants
    other examples or another model. A remote model is never called, so that no test costs money.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def team(cls) -> Team:
        """The team's code, as its entry points name it."""
        return load_team()

    @pytest.fixture(scope="class")
    @classmethod
    def examples_file(cls) -> Path:
        """Labelled items: CSV or JSON Lines, with columns named as the fields of Item and Prediction."""
        return find_root() / "data" / "examples.csv"

    @pytest.fixture(scope="class")
    @classmethod
    def settings(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
        """The defaults on an empty database and an empty model store; no `PILOT_*` variable and no secret is read."""
        scratch = tmp_path_factory.mktemp("contract")
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("PILOT_")]:
                patch.delenv(name)
            yield load_settings(
                database_url=f"sqlite:///{scratch}/pilot.db",
                database_password=None,
                llm_api_key=None,
                data_key=SecretStr(Fernet.generate_key().decode()),
                known_interval=0,  # the service would ask for items of its own
                models=scratch / "models",
                default_models=scratch / "default-models",
            )

    @pytest.fixture(scope="class")
    @classmethod
    def examples(cls, team: Team, examples_file: Path) -> Examples:
        """The items of the file with their right predictions. Fails where a row breaks the schema."""
        read, refused = read_examples(team, examples_file, None, None)
        assert not refused, "rows of the examples break the schema:\n" + "\n".join(refused[:10])
        assert read, f"{examples_file} has no rows"
        return read

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, team: Team, settings: Settings, examples: Examples) -> Model | None:
        """The team's model; None where it says that it is unavailable."""
        if team.train is not None:
            team.train([item for item, _ in examples], lessons(team, [final for _, final in examples]), settings)
        try:
            return team.model(settings)
        except ModelUnavailable:
            assert team.train is None, "a model was trained and cannot be loaded"
            return None

    @pytest.fixture(scope="class")
    @classmethod
    def local_model(cls, model: Model | None) -> LocalModel:
        """The model, where it is one that costs nothing to ask."""
        if model is None or is_remote(model):
            pytest.skip("the model is behind an API, or unavailable without its key")
        assert isinstance(model, LocalModel), "a model needs `version` and `predict(items)`, or `predict_one(item)`"
        return model

    def test_items_and_predictions_survive_json(self, examples: Examples) -> None:
        """Records, responses and replays read them back from JSON."""
        for example in examples:
            for one in example:
                assert type(one).model_validate_json(one.model_dump_json()) == one

    def test_an_unknown_field_is_refused(self, examples: Examples) -> None:
        """A misspelt field is refused with an error."""
        for one in examples[0]:
            with pytest.raises(ValidationError):
                type(one).model_validate({**one.model_dump(), "no_such_field": 1})

    def test_a_prediction_agrees_with_itself_and_not_with_every_other(self, examples: Examples) -> None:
        """`agrees` decides what counts as right."""
        finals = list({final.model_dump_json(): final for _, final in examples}.values())
        assert all(final.agrees(final) for final in finals)
        assert len(finals) < 2 or not all(one.agrees(other) for one in finals for other in finals)

    def test_the_model_loads_or_says_that_it_is_unavailable(self, model: Model | None) -> None:
        """A record names the model by its version."""
        if model is not None:
            assert is_remote(model) or isinstance(model, LocalModel)
            assert isinstance(model.version, str)
            assert 0 < len(model.version) <= 200

    def test_the_model_answers_every_example(self, team: Team, local_model: LocalModel, examples: Examples) -> None:
        """One answer for each item, each of them a prediction or a failure with a reason."""
        check_answers(team, local_model, [item for item, _ in examples])

    def test_the_rules_answer_every_example(self, team: Team, examples: Examples) -> None:
        """Rules that cannot tell abstain; they never guess and never raise."""
        check_answers(team, team.rules(), [item for item, _ in examples])

    def test_an_item_gets_the_same_answer_alone_and_in_a_batch(
        self, local_model: LocalModel, examples: Examples
    ) -> None:
        """Requests that arrive together are answered together, and must not notice."""
        some = [item for item, _ in examples[:20]]
        together = [answer.prediction for answer in local_model.predict(some)]
        assert [local_model.predict([item])[0].prediction for item in some] == together

    def test_an_odd_item_spoils_no_other(self, team: Team, local_model: LocalModel, examples: Examples) -> None:
        """One item's failure is that item's alone, for the model and for the rules."""
        good = examples[0][0]
        for asked in (local_model, team.rules()):
            alone = asked.predict([good])[0].prediction
            for odd in odd_items(good):
                first, _, last = asked.predict([good, odd, good])
                assert (first.prediction, last.prediction) == (alone, alone)

    def test_labels_fit_the_prediction(self, team: Team, model: Model | None, examples: Examples) -> None:
        """Each label of the model is a valid prediction, and each label of the examples is one that the model knows."""
        known = labels(model) if model is not None else ()
        if known:
            name = only_field(team.prediction)
            assert {str(getattr(team.prediction.model_validate({name: label}), name)) for label in known} == set(known)
            assert {str(getattr(final, name)) for _, final in examples} <= set(known)

    def test_a_served_answer_is_recorded(
        self, team: Team, settings: Settings, model: Model | None, examples: Examples
    ) -> None:
        """Each accepted request leaves its item, an answer of the model and one of the rules, as they were given."""
        item, final = examples[0]
        with served(team, without_calls(settings, model), Mode.ASSIST) as client:
            answered = client.post("/v1/predictions", json={"item": item.model_dump(mode="json")}).json()
            decided = {"final": final.model_dump(mode="json")}
            assert client.post(f"/v1/predictions/{answered['id']}/outcome", json=decided).status_code == 201
            with client.app.state.service.engine.connect() as connection:  # type: ignore[attr-defined]
                assert connection.execute(select(items.c.id).where(items.c.state == "done")).scalar() == answered["id"]
                rows = {row.role: row for row in connection.execute(select(answers))}
                outcome = connection.execute(select(outcomes)).one()
        assert set(rows) == {"primary", "rules"}
        assert (answered["prediction"] is None) == (rows["primary"].failure is not None)
        if answered["prediction"] is not None:
            given = team.prediction.model_validate(answered["prediction"])
            assert outcome.agreement == given.agrees(final)

    def test_a_shadow_answer_is_never_shown(
        self, team: Team, settings: Settings, model: Model | None, examples: Examples
    ) -> None:
        """In shadow the caller learns that the item is recorded, and nothing of the answer."""
        with served(team, without_calls(settings, model), Mode.SHADOW) as client:
            answered = client.post("/v1/predictions", json={"item": examples[0][0].model_dump(mode="json")})
        assert answered.status_code == 202
        assert answered.json()["status"] == "recorded"
        assert answered.json()["prediction"] is None
        assert answered.json()["suggestion"] is None


def check_answers(team: Team, asked: LocalModel, given: Sequence[Item]) -> None:
    """Asserts that there is one answer for each item, and that each may be served and recorded."""
    found = list(asked.predict(given))
    assert len(found) == len(given)
    for answer in found:
        assert isinstance(answer, Answer)
        assert (answer.prediction is None) != (answer.failure is None), "an answer is a prediction or a failure"
        assert answer.failure is None or answer.failure in set(Failure)
        assert answer.prediction is None or isinstance(answer.prediction, team.prediction)
        assert answer.confidence is None or 0 <= answer.confidence <= 1
        assert answer.cost is None or answer.cost >= 0


def odd_items(good: Item) -> Iterator[Item]:
    """Items that the schema accepts and nobody expects: each text of a good one in turn replaced."""
    for text in ("?", "🙂", "ﷺ", "0", "\u202e", "x" * 5_000):
        for name, value in good:
            if isinstance(value, str):
                try:
                    yield type(good).model_validate({**good.model_dump(), name: text})
                except ValidationError:
                    continue


def without_calls(settings: Settings, model: Model | None) -> Settings:
    """The settings as they are; a remote model is made unavailable, so that nothing is called."""
    remote = model is not None and is_remote(model)
    return settings.model_copy(update={"llm_model": None, "llm_api_key": None}) if remote else settings


@contextmanager
def served(team: Team, settings: Settings, mode: Mode) -> Iterator[TestClient]:
    """The team's service in this process, in `mode` on a database of its own, behind a client with a caller's key."""
    name = f"{settings.database_url.removesuffix('.db')}-{mode}.db"
    settings = settings.model_copy(update={"database_url": name})
    migrate(engine := open_database(settings))
    with writing(engine) as connection:
        controls.mark_scratch(connection, "contract")
        controls.set_mode(connection, mode, "contract")
        key = keys.create(connection, "caller", "contract", "test", "contract")
    engine.dispose()
    with TestClient(create_app(team, settings), headers={"authorization": f"Bearer {key}"}) as client:
        yield client
