"""A few texts with labels, and the Prediction that goes with them."""

from pathlib import Path

from pilot.contract import Prediction
from pilot.models.training import TrainingReport, train_text_classifier
from pilot.settings import Settings

ROWS = [
    (text.format(thing), label)
    for label, thing in (("access", "password"), ("billing", "invoice"), ("hardware", "printer"))
    for text in (
        "My {0} does not work",
        "Please look at the {0} again",
        "I need a new {0}",
        "The {0} is wrong since Monday",
        "Who can help me with a {0}?",
        "{0} trouble, please call back",
    )
]
TEXTS = [text for text, _ in ROWS]
LABELS = [label for _, label in ROWS]


class Label(Prediction):
    label: str


def prediction(label: str) -> Label:
    return Label(label=label)


def train(root: Path, texts: list[str] = TEXTS, labels: list[str] = LABELS) -> tuple[Settings, TrainingReport]:
    settings = Settings(root=root)
    return settings, train_text_classifier(texts, labels, settings, text=str)
