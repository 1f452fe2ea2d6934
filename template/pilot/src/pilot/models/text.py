"""How a text becomes the words that training and serving read alike."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import regex  # type: ignore[import-untyped]

# The name of the steps is kept with each model. One that was made by the steps of before is still read by these.
STEPS, OLDER_STEPS = "nfkc-casefold-words-2", "nfkc-casefold-words-1"
# Scripts that put no space between words: a run of them is read as its pairs of characters.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー]"
_WORDS = regex.compile(rf"(?V1)(?P<run>(?:{_UNSPACED}\p{{M}}*)+)|[[\w\p{{M}}\u200c\u200d]--{_UNSPACED}]+")
_CHARACTER = regex.compile(r"\X")
_OLDER_WORDS = re.compile(r"\w+")


def words(text: str, steps: str = STEPS) -> str:
    """The words of a text in lower case, joined by single spaces. Raises KeyError for steps that are not known.

    A word is a run of letters, digits and the marks on them. Where a script has no spaces, each pair of characters that
    are next to each other is a word, as search engines do. What is left needs no further tokeniser than a split at the
    space, which ONNX and scikit-learn do alike.

    Source: Unicode Standard Annex 29 for characters, Annex 15 for NFKC; the Turkish capital dotted I is taken for i.
    """
    return {STEPS: _words, OLDER_STEPS: _older_words}[steps](text)


def unspaced(text: str) -> bool:
    """Whether a part of the text is in a script that puts no space between words."""
    return any(match["run"] for match in _WORDS.finditer(text))


def _words(text: str) -> str:
    if text.isascii():  # the same, in a tenth of the time
        return " ".join(_OLDER_WORDS.findall(text.lower()))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).replace("i\u0307", "i")
    found: list[str] = []
    for match in _WORDS.finditer(folded):
        characters = _CHARACTER.findall(match["run"]) if match["run"] else [match[0]]
        found += [one + other for one, other in pairwise(characters)] or characters
    return " ".join(found)


def _older_words(text: str) -> str:
    return " ".join(_OLDER_WORDS.findall(unicodedata.normalize("NFKC", text).casefold()))
