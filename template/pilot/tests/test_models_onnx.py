import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from small_data import TEXTS, Label, prediction, train

from pilot.contract import LocalModel, ModelUnavailable, Prediction, is_remote
from pilot.models.onnx import OnnxTextClassifier
from pilot.models.store import Artefact, ModelStore, load_active
from pilot.settings import Settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return train(tmp_path_factory.mktemp("onnx"))[0]


@pytest.fixture(scope="module")
def model(settings: Settings) -> OnnxTextClassifier:
    return OnnxTextClassifier.load(settings, text=str, prediction=prediction)


def test_it_is_a_local_model(model: OnnxTextClassifier) -> None:
    assert isinstance(model, LocalModel)
    assert not is_remote(model)


@given(st.lists(st.text(max_size=40), max_size=70))
@hypothesis_settings(deadline=None)
def test_every_batch_gets_as_many_valid_answers_as_it_has_items(model: OnnxTextClassifier, texts: list[str]) -> None:
    answers = model.predict(texts)
    assert len(answers) == len(texts)
    for answer in answers:
        assert isinstance(answer.prediction, Label)
        assert answer.prediction.label in model.labels
        assert isinstance(answer.confidence, float)
        assert 1 / 3 - 1e-6 <= answer.confidence <= 1


def test_an_item_gets_the_same_answer_alone_and_in_a_batch(model: OnnxTextClassifier) -> None:
    batch = model.predict(TEXTS)
    for text, answer in zip(TEXTS, batch, strict=True):
        (alone,) = model.predict([text])
        assert alone.prediction == answer.prediction
        assert alone.confidence == pytest.approx(answer.confidence, abs=1e-6)


def test_an_item_whose_text_cannot_be_had_fails_alone(settings: Settings) -> None:
    model = OnnxTextClassifier.load(settings, text=lambda item: item["text"], prediction=prediction)
    first, second, third = model.predict([{"text": "my invoice"}, {}, {"text": "a printer"}])
    assert first.prediction == prediction("billing")
    assert (second.prediction, second.failure) == (None, "error")
    assert third.prediction == prediction("hardware")
    assert [answer.failure for answer in model.predict([{}, {}])] == ["error", "error"]


def test_a_model_of_other_steps_from_text_to_words_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilot.models.onnx.STEPS", "later-steps")
    monkeypatch.setattr("pilot.models.onnx.OLDER_STEPS", "late-steps")
    with pytest.raises(ModelUnavailable, match="later-steps"):
        OnnxTextClassifier.load(settings, text=str, prediction=prediction)


def test_a_model_with_a_label_that_the_prediction_refuses_is_not_served(settings: Settings) -> None:
    class Narrow(Prediction):
        label: Literal["access", "billing"]

    with pytest.raises(ModelUnavailable, match="Narrow refuses"):
        OnnxTextClassifier.load(settings, text=str, prediction=lambda label: Narrow.model_validate({"label": label}))


def test_bytes_that_are_no_onnx_model_are_refused_even_with_the_right_hash(settings: Settings, tmp_path: Path) -> None:
    onnx = b"this is text"
    card = load_active(settings).card.model_copy(update={"onnx_sha256": hashlib.sha256(onnx).hexdigest()})
    store = ModelStore(tmp_path)
    store.activate(store.save(Artefact(card, onnx)))
    with pytest.raises(ModelUnavailable, match="does not load"):
        OnnxTextClassifier.load(settings.model_copy(update={"models": tmp_path}), text=str, prediction=prediction)


def test_serving_does_not_import_what_only_training_needs(settings: Settings) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pilot.contract import Prediction\n"
        "from pilot.models.onnx import OnnxTextClassifier\n"
        "from pilot.settings import Settings\n"
        f"settings = Settings(root=Path({str(settings.root)!r}))\n"
        "OnnxTextClassifier.load(settings, text=str, prediction=lambda label: Prediction()).predict(['x'])\n"
        "print(sorted({'sklearn', 'skl2onnx', 'onnx', 'scipy'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_onnx_runtime_is_told_not_to_report_to_its_maker_before_it_is_imported() -> None:
    script = """
import os, sys
class Watch:
    def find_spec(self, name, *_):
        if name == "onnxruntime":
            sys.exit(0 if os.environ.get("ORT_DISABLE_TELEMETRY") == "1" else 1)
sys.meta_path.insert(0, Watch())
import pilot.models.onnx
pilot.models.onnx.TextProbabilities(b"")
sys.exit(2)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=120).returncode == 0
