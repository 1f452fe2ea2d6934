import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.models.text import OLDER_STEPS, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello,  World!", "hello world"),
        ("STRASSE Straße", "strasse strasse"),
        ("ﬁle №5", "file no5"),
        ("全角ＡＢＣ", "全角 abc"),
        ("मेरा बिल गलत है", "मेरा बिल गलत है"),
        ("İade IADE ıade", "iade iade ıade"),
        ("快递地址错了！0", "快递 递地 地址 址错 错了 0"),
        ("サーバーが落ちた", "サー ーバ バー ーが が落 落ち ちた"),
        ("ขอคืนเงิน please", "ขอ อคื คืน นเ เงิ งิน please"),
        ("店", "店"),
        ("cafe\u0301 café", "café café"),
        ("שָׁלוֹם", "שָׁלוֹם"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("line\nbreak\ttab\u00a0space", "line break tab space"),
        ("?! \x00 🙂", ""),
        ("\ud800lone", "lone"),
    ],
)
def test_a_text_becomes_its_words_in_lower_case(text: str, expected: str) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(("one", "other"), [("बिल", "बाल"), ("கடை", "கடு"), ("เงิน", "เงน"), ("మీరు", "మారు")])
def test_words_that_differ_by_a_mark_alone_differ(one: str, other: str) -> None:
    """I7: marks were dropped, so that a bill and hair were the same word."""
    assert words(one) != words(other)


def test_a_model_of_the_steps_of_before_is_still_read_by_these() -> None:
    assert words("बिल Hello", OLDER_STEPS) == "ब ल hello"


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_way_of_ascii_gives_the_same(text: str) -> None:
    assert words(text) == words(f"{text} é").removesuffix("é").rstrip()


@given(st.text())
def test_words_are_joined_by_single_spaces_and_can_be_encoded(text: str) -> None:
    result = words(text)
    assert result == " ".join(result.split(" ")).strip()
    assert "  " not in result
    result.encode()
