import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.models.onnx import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello,  World!", "hello world"),
        ("STRASSE Straße", "strasse strasse"),
        ("ﬁle №5", "file no5"),
        ("全角ＡＢＣ", "全角abc"),
        ("line\nbreak\ttab\u00a0space", "line break tab space"),
        ("?! \x00 🙂", ""),
        ("\ud800lone", "lone"),
    ],
)
def test_a_text_becomes_its_words_in_lower_case(text: str, expected: str) -> None:
    assert words(text) == expected


@given(st.text())
def test_words_are_joined_by_single_spaces_and_can_be_encoded(text: str) -> None:
    result = words(text)
    assert result == " ".join(result.split(" ")).strip()
    assert "  " not in result
    result.encode()
