"""A damaged row of a file spoils no other."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pilot.contract import Item, PilotError
from pilot.records.rows import cells_for, check_columns, read_rows


class Text(Item):
    text: str


def rows(folder: Path, content: bytes, name: str = "rows.csv") -> list[tuple[int, dict[str, object], str | None]]:
    file = folder / name
    file.write_bytes(content)
    return [(row.line, row.cells, row.problem) for row in read_rows(file)]


def test_a_quoted_cell_may_hold_line_breaks_commas_and_quotes(tmp_path: Path) -> None:
    assert rows(tmp_path, b'text,label\n"one\ntwo, ""three""",a\r\nlast,b') == [
        (2, {"text": 'one\ntwo, "three"', "label": "a"}, None),
        (4, {"text": "last", "label": "b"}, None),
    ]


def test_a_quote_inside_a_cell_is_a_character(tmp_path: Path) -> None:
    assert rows(tmp_path, b'text,label\nMy 5" screen,a\n') == [(2, {"text": 'My 5" screen', "label": "a"}, None)]


def test_an_unclosed_quote_costs_its_own_line_alone(tmp_path: Path) -> None:
    found = rows(tmp_path, b'text,label\n"open,a\nfine,b\n"also fine",c\n"open again,d\nend,e\n')
    assert [line for line, _, problem in found if problem] == [2, 5]
    assert [cells["text"] for _, cells, problem in found if not problem] == ["fine", "also fine", "end"]


def test_invalid_utf8_and_a_wrong_number_of_columns_are_told(tmp_path: Path) -> None:
    found = rows(tmp_path, b"text,label\n\xff,a\na,b,c\none\nfine,d\n")
    assert [problem for _, _, problem in found] == [
        "is not UTF-8 at byte 1",
        "has 3 columns instead of 2",
        "has 1 columns instead of 2",
        None,
    ]


def test_a_byte_order_mark_and_empty_lines_are_no_content(tmp_path: Path) -> None:
    assert rows(tmp_path, b"\xef\xbb\xbftext\n\nhello\n\n") == [(3, {"text": "hello"}, None)]


def test_a_five_megabyte_cell_is_read_and_left_to_the_schema(tmp_path: Path) -> None:
    found = rows(tmp_path, b"text\n" + b"x" * 5_000_000 + b"\nnext\n")
    assert [len(str(cells["text"])) for _, cells, _ in found] == [5_000_000, 4]


def test_json_lines_are_objects_in_utf8(tmp_path: Path) -> None:
    found = rows(tmp_path, b'{"text": "a"}\nnot json\n[1]\n\n{"text": "\xff"}\n{"text": "b"}\n', "rows.jsonl")
    assert [(line, problem) for line, _, problem in found] == [
        (1, None),
        (2, "is not JSON in UTF-8"),
        (3, "is not a JSON object"),
        (5, "is not JSON in UTF-8"),
        (6, None),
    ]


@pytest.mark.parametrize("header", [b"", b"text,text\n", b"text,\n"])
def test_a_header_that_does_not_name_the_columns_is_an_error(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(PilotError, match="line 1"):
        rows(tmp_path, header + b"a,b\n" if header else header)


def test_a_missing_file_or_another_kind_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PilotError, match="There is no file"):
        list(read_rows(tmp_path / "nothing.csv"))
    with pytest.raises(PilotError, match="neither"):
        rows(tmp_path, b"", "rows.xlsx")


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"query,intent\na,b\n")
    with pytest.raises(PilotError, match=r"no column .text.\. Its columns are: query, intent"):
        check_columns(tmp_path / "rows.csv", ["text"])


def test_a_column_fills_the_one_required_field_or_columns_carry_the_fields_names(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"query,text\nfirst,second\n")
    row = next(iter(read_rows(tmp_path / "rows.csv")))
    assert cells_for(Text, row, "query") == Text(text="first")
    assert cells_for(Text, row, None) == Text(text="second")
    with pytest.raises(ValidationError):
        cells_for(Text, row, "nothing")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1)


@given(st.lists(TEXTS, min_size=1, max_size=20))
def test_what_csv_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    import csv

    file = tmp_path_factory.mktemp("files") / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([["text"], *([text] for text in texts)])
    assert [row.cells["text"] for row in read_rows(file)] == texts
