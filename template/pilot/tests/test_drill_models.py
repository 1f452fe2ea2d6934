"""The fault of a drill: a model whose answers are wrong, whatever its task is, and that loads all the same."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import small_data
import test_models_extraction
import test_models_regression
import test_models_retrieval

from pilot.contract import Prediction
from pilot.models.extraction import FieldExtractor, train_field_extractor
from pilot.models.onnx import OnnxTextClassifier
from pilot.models.regression import TextRegressor
from pilot.models.retrieval import SimilarCase
from pilot.models.store import Artefact, ModelStore, load_active
from pilot.operations.drill import spoiled
from pilot.settings import Settings


def kept(settings: Settings, prediction: Any = None) -> tuple[Artefact, Artefact]:
    """The model in force, and the spoiled one as the store gives it back."""
    good = load_active(settings)
    bad = spoiled(good, SimpleNamespace(team=SimpleNamespace(prediction=prediction)))  # type: ignore[arg-type]
    store = ModelStore(settings.models)
    assert bad.card.version != good.card.version
    return good, store.load(store.save(bad))


def test_a_classifier_gives_other_labels(tmp_path: Path) -> None:
    for artefact, wrong in zip(kept(small_data.train(tmp_path)[0]), (False, True), strict=True):
        model = OnnxTextClassifier(artefact, text=str, prediction=small_data.prediction)
        pairs = zip(model.predict(small_data.TEXTS), small_data.LABELS, strict=True)
        assert all((answer.prediction != small_data.prediction(label)) is wrong for answer, label in pairs)


def test_an_extraction_gives_fields_for_others(tmp_path: Path) -> None:
    class Ride(Prediction):
        start: str
        end: str

    towns = ["Bern", "Basel", "Chur", "Genf", "Thun", "Zug"]
    rows = [(f"From {a} to {b}", Ride(start=a, end=b)) for a in towns for b in towns if a != b]
    settings = Settings(root=tmp_path)
    train_field_extractor([text for text, _ in rows], [ride for _, ride in rows], settings, text=str)
    for artefact, wrong in zip(kept(settings, Ride), (False, True), strict=True):
        model = FieldExtractor(artefact, text=str, prediction=Ride)
        for answer, (_, ride) in zip(model.predict([text for text, _ in rows]), rows, strict=True):
            assert answer.prediction is not None
            assert (answer.prediction != ride) is wrong


def test_an_invoice_with_a_single_text_is_read_wrongly_too(tmp_path: Path) -> None:
    settings = test_models_extraction.train(tmp_path)
    good, bad = kept(settings, test_models_extraction.Invoice)
    texts, finals = zip(*test_models_extraction.ROWS, strict=True)
    model = FieldExtractor(bad, text=str, prediction=test_models_extraction.Invoice)
    assert not any(answer.prediction == final for answer, final in zip(model.predict(texts), finals, strict=True))
    assert good.card.labels != bad.card.labels


def test_a_regression_gives_numbers_far_off(tmp_path: Path) -> None:
    _, bad = kept(test_models_regression.train(tmp_path))
    model = TextRegressor(bad, text=str, prediction=test_models_regression.effort)
    assert min(test_models_regression.numbers(model, test_models_regression.TEXTS)) > 10 * max(
        test_models_regression.VALUES
    )


def test_a_draft_is_the_reply_of_another_case(tmp_path: Path) -> None:
    _, bad = kept(test_models_retrieval.train(tmp_path))
    model = SimilarCase(bad, text=str, prediction=lambda reply: test_models_retrieval.Reply(reply=reply))
    answers = model.predict(test_models_retrieval.TEXTS)
    for answer, reply in zip(answers, test_models_retrieval.REPLIES, strict=True):
        assert answer.prediction not in (None, test_models_retrieval.Reply(reply=reply))
