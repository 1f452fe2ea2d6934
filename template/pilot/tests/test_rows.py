"""Rows of files: what is damaged is refused, and never read as something else."""

from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pilot.contract import Item, PilotError, Prediction
from pilot.fields import Draft
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


@pytest.mark.parametrize(
    ("damaged", "lines"),
    [
        (b'"He said "stop" and then\nI paid 20 euro, twice\nbye, Ada",a\n', 3),
        (b'"Hello,\nmy parcel is late\n",a,\n', 3),
        (b'"one\n\ntwo"three\nfour",a\n', 4),
        (b'"not UTF-8 \xff\nhello, a",a\n', 2),
        (b'"a quote "" and\na comma",b" ,c\n', 2),
    ],
    ids=["a quote within", "one comma more", "text behind a quote", "another encoding", "a third column"],
)
def test_a_refused_record_takes_its_lines_with_it(damaged: bytes, lines: int, tmp_path: Path) -> None:
    """I1: no line of it is taken for a row of its own."""
    found = rows(tmp_path, b"text,label\nbefore,b\n" + damaged + b"after,c\n")
    assert [(line, bool(problem)) for line, _, problem in found] == [(2, False), (3, True), (3 + lines, False)]
    assert found[1][2] is not None
    assert found[1][2].endswith(f"(with the lines up to {2 + lines})")


def test_a_quote_that_is_never_closed_takes_the_rest_of_the_file(tmp_path: Path) -> None:
    """I1: whether a line behind it is a row or text, nobody can know; the reason says how many there are."""
    found = rows(tmp_path, b'text,label\nfine,a\n"open,b\nfine,c\n\nfine,d')
    assert [(line, problem) for line, _, problem in found] == [
        (2, None),
        (3, "has a quote that is not closed (with the lines up to 6)"),
    ]


def test_a_record_of_any_length_is_read(tmp_path: Path) -> None:
    body = b"\n".join(b"line, of a mail" for _ in range(5_000))
    found = rows(tmp_path, b'text,label\n"' + body + b'",a\nnext,b\n')
    assert [(line, problem) for line, _, problem in found] == [(2, None), (5_002, None)]
    assert found[0][1]["text"] == body.decode()


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


@pytest.mark.parametrize("header", [b"", b",\n", b'"text\n'])
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


def test_a_byte_order_mark_of_json_lines_is_no_content(tmp_path: Path) -> None:
    """I8, 11."""
    assert rows(tmp_path, b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}\n', "rows.jsonl") == [
        (1, {"text": "a"}, None),
        (2, {"text": "b"}, None),
    ]


def test_columns_that_cannot_be_told_apart_are_left_out_and_refused_where_they_are_asked_for(tmp_path: Path) -> None:
    """I8, 12: as Jira exports comments, and a spreadsheet a comma at the end."""
    content = b"text,comment,comment,\nhello,one,two,\n"
    assert rows(tmp_path, content) == [(2, {"text": "hello"}, None)]
    check_columns(tmp_path / "rows.csv", ["text"])
    with pytest.raises(PilotError, match="2 columns 'comment'"):
        check_columns(tmp_path / "rows.csv", ["comment"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"id;text\n1;hello\n", "separated by semicolons"),
        (b"id\ttext\n1\thello\n", "separated by tabs"),
        (b"sep=;\nid;text\n", "names a separator"),
        (b"\xef\xbb\xbfsep=;\r\nid;text\r\n", "names a separator"),
        (b"id,text\r1,hello\r", "lines end with CR alone"),
        ("id,text\n1,hello\n".encode("utf-16"), "it is UTF-16"),
    ],
)
def test_a_file_of_another_dialect_is_refused_by_its_name(content: bytes, said: str, tmp_path: Path) -> None:
    """I8, 18."""
    with pytest.raises(PilotError, match=said):
        rows(tmp_path, content)


def test_a_line_break_within_a_header_is_no_old_mac(tmp_path: Path) -> None:
    assert rows(tmp_path, b'"text\r\nof the mail",label\r\nhello,a\r\n') == [
        (3, {"text\r\nof the mail": "hello", "label": "a"}, None)
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"text": "a"}]', "one JSON array"),
        (b'\xef\xbb\xbf[{"text": "a"}]', "one JSON array"),
        (b' \n[\n{"text": "a"}\n]', "one JSON array"),
        (b'{\n  "text": "a"\n}\n', "several lines"),
        (b'{"text": "a"}\r{"text": "b"}\r', "CR alone"),
        ('{"text": "a"}\n'.encode("utf-16"), "UTF-16"),
    ],
)
def test_json_of_another_kind_is_refused_by_its_name(content: bytes, said: str, tmp_path: Path) -> None:
    """I8, 11 and 18."""
    with pytest.raises(PilotError, match=said):
        rows(tmp_path, content, "rows.jsonl")


def test_json_lines_with_blank_lines_and_blanks_before_them_are_read(tmp_path: Path) -> None:
    assert rows(tmp_path, b'\xef\xbb\xbf\n  {"text": "[{"}\r\n{"text": "}\\r{"}', "rows.jsonl") == [
        (2, {"text": "[{"}, None),
        (3, {"text": "}\r{"}, None),
    ]


def test_a_line_break_of_an_old_mac_within_a_record_is_named(tmp_path: Path) -> None:
    [row] = rows(tmp_path, b"text,label\na,b\rc,d\n")
    assert row[2] == "has a line break (CR) outside of quotes"


class Label(Prediction):
    label: str


@pytest.mark.parametrize("written", [" Ku\u0308ndigung", "K\u00fcndigung ", "K\u00fcndigung"])
def test_labels_that_look_the_same_are_the_same(written: str, tmp_path: Path) -> None:
    """I8, 16: blanks around a label, and an accent in two characters. The text of an item stays as it is."""
    (tmp_path / "rows.csv").write_text(f"text,label\n {written},{written}\n", encoding="utf-8")
    [row] = read_rows(tmp_path / "rows.csv")
    assert cells_for(Label, row, "label") == Label(label="K\u00fcndigung")
    assert cells_for(Text, row, "text") == Text(text=f" {written}")


class Reply(Prediction):
    label: str
    reply: Annotated[str, Draft()]


@pytest.mark.parametrize(
    "written", ["billing  info", "billing\u00a0info", "\u200bbilling \u00ad info\ufeff", "billing info"]
)
def test_blanks_and_unseen_characters_make_no_other_label_and_stay_in_a_draft(written: str, tmp_path: Path) -> None:
    """I8, 16. What joins letters in other scripts, as the zero-width joiner does, stays."""
    (tmp_path / "rows.csv").write_text(f'label,reply\n{written},"a  b\n\nc"\nक\u094d\u200dष,x\n', encoding="utf-8")
    first, second = read_rows(tmp_path / "rows.csv")
    assert cells_for(Reply, first, None) == Reply(label="billing info", reply="a  b\n\nc")
    assert cells_for(Reply, second, None) == Reply(label="क\u094d\u200dष", reply="x")
