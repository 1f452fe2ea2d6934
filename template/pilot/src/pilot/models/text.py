"""How a text becomes words. Training and serving both call `words`, so the two cannot drift apart."""

from __future__ import annotations

import re
import unicodedata

# The name of the steps below. It is kept with each model, and a model that was made by other steps is refused.
STEPS = "nfkc-casefold-words-1"

_WORD = re.compile(r"\w+")


def words(text: str) -> str:
    """The words of a text in lower case, joined by single spaces; "" where it has none.

    What is left needs no further tokeniser than a split at the space, which ONNX and scikit-learn do alike.
    """
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
