import csv
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field
from small_data import train as train_labels

from pilot.contract import LocalModel, ModelUnavailable, PilotError, Prediction
from pilot.fields import similarity
from pilot.models.retrieval import Cases, SimilarCase, train_similar_case
from pilot.models.store import Artefact, load_active
from pilot.settings import Settings

STORYPOINTS = os.environ.get("PILOT_TEST_STORYPOINTS")
CASES = [
    ("My machine leaks water on the table", "Please change the seal of the tank."),
    ("Water leaks from below the machine", "Please change the seal of the pump."),
    ("The invoice shows the wrong address", "We send you a new invoice with the address."),
    ("I was charged twice on my invoice", "We give back what was charged twice."),
    ("Where is my parcel?", "The parcel is on its way."),
    ("My parcel was sent to a wrong address", "We call the parcel back and send it again."),
]
TEXTS, REPLIES = [text for text, _ in CASES], [reply for _, reply in CASES]


class Reply(Prediction):
    reply: str
    source: str = ""


class Short(Prediction):
    reply: str = Field(max_length=30)


def reply(text: str, case: str) -> Reply:
    return Reply(reply=text, source=case)


def train(root: Path, items: list[Any] = TEXTS, replies: list[str] = REPLIES, text: Any = str) -> Settings:
    settings = Settings(root=root)
    train_similar_case(items, replies, settings, text=text)
    return settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return train(tmp_path_factory.mktemp("similar"))


@pytest.fixture(scope="module")
def model(settings: Settings) -> SimilarCase:
    return SimilarCase.load(settings, text=str, prediction=reply)


def test_it_answers_with_the_reply_of_the_most_similar_case_and_names_it(model: SimilarCase) -> None:
    assert isinstance(model, LocalModel)
    leak, parcel = model.predict(["the machine leaks on my table", "WHERE IS MY PARCEL"])
    assert leak.prediction == Reply(reply=REPLIES[0], source=f"row 1: {TEXTS[0]}")
    assert parcel.prediction == Reply(reply=REPLIES[4], source=f"row 5: {TEXTS[4]}")


def test_the_confidence_is_the_cosine_of_the_texts(model: SimilarCase) -> None:
    same, alike, apart = model.predict([TEXTS[0], "my machine leaks a lot", "the dog of a neighbour took it"])
    assert same.confidence == pytest.approx(1)
    assert same.trained
    assert not alike.trained
    assert same.confidence > alike.confidence > apart.confidence > 0  # type: ignore[operator]


def test_a_text_of_which_no_word_is_known_has_no_answer(model: SimilarCase) -> None:
    answers = model.predict(["Grüezi mitenand", "", "🙂"])
    assert [(answer.prediction, answer.failure) for answer in answers] == [(None, "abstained")] * 3


def test_a_case_that_has_an_id_is_named_by_it_and_long_texts_are_cut(tmp_path: Path) -> None:
    class Ticket(BaseModel):
        id: str
        text: str

    settings = train(
        tmp_path, [Ticket(id=f"T-{row}", text=text) for row, text in enumerate(TEXTS)], text=lambda t: t.text
    )
    model = SimilarCase.load(settings, text=str, prediction=reply)
    assert model.predict([TEXTS[3]])[0].prediction == Reply(reply=REPLIES[3], source="T-3")
    long = SimilarCase.load(
        train(tmp_path / "long", [f"{text} {'and so on ' * 20}" for text in TEXTS]), text=str, prediction=reply
    )
    (answer,) = long.predict([TEXTS[3]])
    assert isinstance(answer.prediction, Reply)
    assert answer.prediction.source == "row 4: I was charged twice on my invoice and so on and so on and so…"


def test_a_prediction_that_does_not_want_the_case_is_made_of_the_reply_alone(settings: Settings) -> None:
    model = SimilarCase.load(settings, text=str, prediction=lambda text: Reply(reply=text))
    assert model.predict([TEXTS[1]])[0].prediction == Reply(reply=REPLIES[1])


def test_a_reply_that_the_prediction_refuses_is_no_answer(settings: Settings) -> None:
    model = SimilarCase.load(settings, text=str, prediction=lambda text: Short(reply=text))
    long, short = model.predict([TEXTS[2], TEXTS[4]])
    assert (long.prediction, long.failure) == (None, "abstained")
    assert short.prediction == Short(reply=REPLIES[4])


def test_an_item_gets_the_same_answer_alone_and_in_a_batch_and_an_odd_one_fails_alone(settings: Settings) -> None:
    model = SimilarCase.load(settings, text=lambda item: item["text"], prediction=reply)
    items = [{"text": text} for text in (*TEXTS * 15, "unknown", "a parcel \x00")]
    first, odd, *others = model.predict([items[0], {}, *items[1:]])
    assert odd.failure == "error"
    assert [first, *others] == [model.predict([item])[0] for item in items]


def test_the_card_tells_how_much_of_the_replies_stayed_where_the_case_was_not_known(tmp_path: Path) -> None:
    texts = [f"{text} number{number}" for number in range(4) for text in TEXTS]
    card = load_active(train(tmp_path, texts, REPLIES * 4)).card
    assert (card.task, card.accuracy, card.score.name) == ("draft", None, "edit similarity")
    assert card.score.value == card.score.curve[-1][1] > 0.9, "each case has three others alike"
    alone = load_active(train(tmp_path / "alone")).card
    assert alone.score.value < 0.5
    kept = alone.model_dump_json()
    assert not any(reply in kept for reply in REPLIES)


def test_the_cases_are_read_back_as_they_were_written(settings: Settings) -> None:
    content = load_active(settings).beside
    assert Cases.read(content).written() == content
    assert Cases.read(content).replies == tuple(REPLIES)


def test_the_same_rows_give_the_same_version_and_other_replies_another(settings: Settings, tmp_path: Path) -> None:
    version = load_active(settings).card.version
    assert load_active(train(tmp_path / "a")).card.version == version
    assert load_active(train(tmp_path / "b", TEXTS, [*REPLIES[:-1], "Another."])).card.version != version


@pytest.mark.parametrize(
    ("texts", "replies", "message"),
    [
        (TEXTS, REPLIES[:1], "6 items but 1 replies"),
        (TEXTS[:3], REPLIES[:3], "at least 4 rows"),
        (TEXTS, [" ", *REPLIES[1:]], "empty reply"),
        (["!"] * 6, REPLIES, "no words"),
    ],
)
def test_data_that_cannot_teach_are_refused_with_the_reason(
    tmp_path: Path, texts: list[str], replies: list[str], message: str
) -> None:
    with pytest.raises(PilotError, match=message):
        train(tmp_path, texts, replies)
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("module", ["sklearn.feature_extraction.text", "skl2onnx"])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PilotError, match=r"ai-pilot-wrapper\[train\]"):
        train(tmp_path)


def test_a_model_that_finds_other_cases_than_scikit_learn_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cases, "nearest", lambda cases, vector: (0, 1.0))
    with pytest.raises(PilotError, match=r"on 16\.67% of the rows"):
        train(tmp_path)
    assert not (tmp_path / "var").exists()


def test_a_model_of_another_task_or_with_another_content_is_not_served(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"trained for the task classify, and .* asks for one that can draft"):
        SimilarCase.load(train_labels(tmp_path)[0], text=str, prediction=reply)
    artefact = load_active(settings)
    with pytest.raises(ModelUnavailable, match="does not hold the past cases"):
        SimilarCase(Artefact(artefact.card, artefact.onnx, b"{}"), text=str, prediction=reply)


@pytest.mark.skipif(
    not STORYPOINTS, reason="PILOT_TEST_STORYPOINTS does not name the folder with train.csv and test.csv"
)
def test_titles_of_issues_are_drafted(tmp_path: Path) -> None:
    def read(name: str) -> tuple[list[str], list[str]]:
        with (Path(str(STORYPOINTS)) / name).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [row["description"] for row in rows], [row["title"] for row in rows]

    settings = train(tmp_path, *read("train.csv"))
    assert load_active(settings).card.agreement == 1
    later, titles = read("test.csv")
    answers = SimilarCase.load(settings, text=str, prediction=reply).predict(later)
    drafts = [answer.prediction.reply if isinstance(answer.prediction, Reply) else "" for answer in answers]
    stayed = [similarity(draft, title, "characters") for draft, title in zip(drafts, titles, strict=True)]
    assert sum(stayed) / len(stayed) == pytest.approx(0.236, abs=0.02)
