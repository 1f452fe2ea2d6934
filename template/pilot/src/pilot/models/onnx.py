"""ONNX Runtime, which serves the local models of approach *build*, and the text classifier on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from pilot.contract import Answer, Failure, ModelUnavailable, Prediction
from pilot.models.store import FIX, Artefact, Card, learned_hash, load_active
from pilot.models.text import OLDER_STEPS, STEPS, words
from pilot.settings import Settings


class Session:
    """What an ONNX model with one input of texts computes, by its bytes: its output of that name, or the first.

    Raises ModelUnavailable when the bytes are no such model, or when ONNX Runtime is not installed.
    """

    def __init__(self, onnx: bytes, output: str | None = None) -> None:
        # By default ONNX Runtime reports its use to its maker; it reads this when it is imported.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        try:
            import onnxruntime  # type: ignore[import-untyped]
        except ImportError:
            raise ModelUnavailable(
                "ONNX Runtime is not installed. Ask for `ai-pilot-wrapper[build]` in pyproject.toml, then run "
                "`uv sync`."
            ) from None
        options = onnxruntime.SessionOptions()
        # The service has one thread for the model. More threads inside it only fight over the same cores.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
            self._input = self._session.get_inputs()[0].name
            self._output = output or self._session.get_outputs()[0].name
        except Exception as error:
            raise ModelUnavailable(f"ONNX Runtime does not load the model ({type(error).__name__}). {FIX}") from None

    def __call__(self, texts: npt.NDArray[np.object_]) -> npt.NDArray[np.float32]:
        """One row for each row of `texts`, which has two dimensions."""
        rows: npt.NDArray[np.float32] = self._session.run([self._output], {self._input: texts})[0]
        return rows

    def column(self, prepared: Sequence[str]) -> npt.NDArray[np.float32]:
        """One row for each text."""
        return self(np.array(prepared, dtype=object).reshape(-1, 1))


class TextProbabilities:
    """The probabilities of the labels for texts, of the bytes of an ONNX model that reads the words of `steps`.

    Raises ModelUnavailable when the bytes are no such model, or when ONNX Runtime is not installed.
    """

    def __init__(self, onnx: bytes, steps: str = STEPS) -> None:
        self._steps = steps
        self.of = Session(onnx, "probabilities").column

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Shape (texts, labels); each row sums to 1. `of` takes texts of which `words` was taken already."""
        return self.of([words(text, self._steps) for text in texts])


def text_of(read: Callable[[Any], str], item: Any) -> str | None:
    """The text of an item, or None where it cannot be had, so that it fails alone."""
    try:
        return read(item)
    except Exception:
        return None


def check_steps(card: Card, *known: str) -> None:
    """Raises ModelUnavailable where a model reads texts by other steps than are `known` here."""
    if card.steps not in known:
        raise ModelUnavailable(
            f"Model {card.version} was made for other steps from text to words ({card.steps}, here {known[0]}). {FIX}"
        )


def learned_from(card: Card, prepared: str) -> bool | None:
    """Whether the model learned from the text that has these words; None where its card does not tell."""
    known = card.learned_hashes
    return learned_hash(prepared, card.learned_key) in known if known else None


class OnnxTextClassifier:
    """Answers with the label of the highest probability, and with that probability as the confidence.

    `text(item)` returns the text to classify; `prediction(label)` makes the team's Prediction.
    Raises ModelUnavailable when the artefact cannot be served as it is.
    """

    def __init__(
        self, artefact: Artefact, *, text: Callable[[Any], str], prediction: Callable[[str], Prediction]
    ) -> None:
        card = artefact.card
        check_steps(card, STEPS, OLDER_STEPS)
        self.version = card.version
        self.labels = card.labels
        self._card = card
        self._text = text
        self._probabilities = TextProbabilities(artefact.onnx, card.steps)
        try:
            self._predictions = [prediction(label) for label in card.labels]
        except ValidationError as error:
            raise ModelUnavailable(
                f"Model {card.version} knows a label that {error.title} refuses. Admit it there, or train on data "
                "without it."
            ) from None

    @classmethod
    def load(
        cls, settings: Settings, *, text: Callable[[Any], str], prediction: Callable[[str], Prediction]
    ) -> OnnxTextClassifier:
        """The model in force. Raises ModelUnavailable when there is none that may be served."""
        return cls(load_active(settings, "classify"), text=text, prediction=prediction)

    def predict(self, items: Sequence[Any]) -> list[Answer]:
        """One answer for each item, in their order. An item whose text cannot be had fails alone."""
        texts = [text_of(self._text, item) for item in items]
        known = [text for text in texts if text is not None]
        if not known:
            return [Answer.failed(Failure.ERROR) for _ in items]
        prepared = [words(text, self._card.steps) for text in known]
        probabilities = self._probabilities.of(prepared)
        answers = (
            # Rounding may carry a float32 above 1.
            Answer(self._predictions[best], min(confidence, 1.0), trained=learned_from(self._card, text))
            for text, best, confidence in zip(
                prepared, probabilities.argmax(1).tolist(), probabilities.max(1).tolist(), strict=True
            )
        )
        return [Answer.failed(Failure.ERROR) if text is None else next(answers) for text in texts]
