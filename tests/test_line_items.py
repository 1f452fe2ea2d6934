"""A pilot whose answers hold a list of nested models, the positions of an invoice, from `copier copy` to the report."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from banking import CHARTER, DUE, WEEKS, Team, by_hand
from helpers import Render, run
from playwright.sync_api import Browser
from real_tasks import RULES, SCHEMA, Clerk, words
from stack import UV

pytestmark = pytest.mark.browser
PREDICTION = """\
    number: str = Field(min_length=1)
    positions: Annotated[list["Position"], pilot.SameSet()]


class Position(BaseModel):
    description: Annotated[str, pilot.SameText()] = Field(min_length=1)
    quantity: int = Field(ge=1)
    price: Annotated[float, pilot.Within(absolute=0.005)]"""
GOODS = ("Copy paper A4", "Envelopes C5", "Toner black", "Desk lamp", "Pens blue", "Ring binder", "Labels", "Stapler")
LEARNED, INGESTED = 80, 40


def invoices(count: int, seed: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Invoices and what they ask for. A pair of something is written in words, in which no number can be read."""
    random, made = Random(seed), []
    for n in range(count):
        number = f"KP-{seed}{n:03}"
        positions = [
            {"description": one, "quantity": random.randint(2, 40), "price": random.randint(100, 9999) / 100}
            for one in random.sample(GOODS, random.randint(1, 5))
        ]
        lines = [f"{one['description']}    {one['quantity']} pcs    {one['price']:.2f}" for one in positions]
        if n % 4 == 0:
            positions.append({"description": "Gloves", "quantity": 2, "price": 4.5})
            lines.append("Gloves    one pair    4.50")
        text = "\n".join([f"Kestrel Paper Ltd, invoice {number}", "", *lines, "", "Payable within 30 days."])
        made.append(({"text": text}, {"number": number, "positions": positions}))
    return made


def written(file: Path, rows: list[tuple[dict[str, Any], dict[str, Any]]], decided: bool = True) -> Path:
    """A file of JSON Lines: the items, and what was decided."""
    lines = [{"input": item, "final": final} if decided else {"input": item} for item, final in rows]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return file


def found_in(answer: list[Any], final: list[Any]) -> int:
    """How many positions of an answer are right; no invoice names the same goods twice."""
    wanted = {" ".join(words(one["description"])): one for one in final}
    right = 0
    for one in answer:
        other = wanted.get(" ".join(words(one["description"])))
        right += other is not None and one["quantity"] == other["quantity"] and one["price"] == other["price"]
    return right


def test_positions_of_invoices_from_copier_copy_to_the_report(render: Render, browser: Browser, tmp_path: Path) -> None:
    folder = render(tmp_path / "invoices", task="extract", approach="build", package_name="desk")
    package = folder / "src" / "desk"
    schema = SCHEMA.format(item="    text: str = Field(min_length=1)", prediction=PREDICTION)
    schema = schema.replace("import Field", "import BaseModel, Field")
    (package / "schema.py").write_text(schema, encoding="utf-8")
    made = 'number=(re.search(r"KP-\\d+", item.text) or "?")[0], positions=[]'
    (package / "rules.py").write_text(RULES.format(made=made), encoding="utf-8")
    (folder / "data" / "known.csv").unlink()
    run(UV, "sync", "--quiet", cwd=folder, timeout=900, UV_PYTHON_DOWNLOADS="never")
    team = Team(folder, folder / ".venv" / "bin", tmp_path)
    team.at(WEEKS[0])
    team.says("model", "train", "--data", str(written(tmp_path / "past.jsonl", invoices(LEARNED, 1))))
    charter = CHARTER.replace("metric: accuracy", "metric: f1:positions").replace(
        "judged_items: 350", "judged_items: 40"
    )
    team.begins(0.5, charter, by_hand("f1:positions", lambda n: 0.4 if n % 2 else 0.6))
    rows = invoices(INGESTED + 2, 2)
    team.at(WEEKS[0])
    new = str(written(tmp_path / "new.jsonl", rows[:INGESTED], decided=False))
    assert f"{INGESTED} accepted ({INGESTED} new" in team.says("ingest", new)
    decided = str(written(tmp_path / "decided.jsonl", rows[:INGESTED]))
    assert f"{INGESTED} outcomes" in team.says("ingest", decided)
    longest = max(rows[INGESTED:], key=lambda row: len(row[1]["positions"]))
    assert len(longest[1]["positions"]) > 3, "the form shows three empty rows, so more have to be asked for"
    with team.serves() as service:
        finals = {}
        for item, final in rows[INGESTED:]:
            answer = service.call("/v1/predictions", team.keys["chat desk"], {"item": item})[1]
            finals[answer["id"]] = final
        with browser.new_context() as context:
            Clerk(context.new_page(), service.url, team.keys["Ina Wolf"]).decides(finals)
    with sqlite3.connect(folder / "var" / "pilot.db") as connection:
        recorded = connection.execute(
            "SELECT i.content, a.prediction, o.final FROM items i JOIN answers a ON a.item_id = i.id "
            "AND a.role = 'primary' JOIN outcomes o ON o.item_id = i.id ORDER BY i.seq"
        ).fetchall()
    kept = [(json.loads(content), json.loads(final)) for content, _, final in recorded]
    assert kept == rows
    pairs = [(json.loads(answer), json.loads(final)) for _, answer, final in recorded]
    hits = [found_in(said["positions"], final["positions"]) for said, final in pairs]
    both = [len(said["positions"]) + len(final["positions"]) for said, final in pairs]
    f1 = 2 * sum(hits) / sum(both)
    whole = Counter("right" if 2 * hit == size else "wrong" for hit, size in zip(hits, both, strict=True))
    numbers = Counter("right" if said["number"] == final["number"] else "wrong" for said, final in pairs)
    assert whole["right"] > 20
    assert whole["wrong"] > 5
    team.at(DUE)
    said = team.says("evaluate")
    assert f"\nestimate      {f1:.4f} [" in said
    team.says("report", "--out", "var/report.md")
    report = (folder / "var" / "report.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (.*) \|$", report, re.M)
    assert [row[:6] for row in table] == [
        ("number", str(numbers["right"]), str(numbers["wrong"]), "0", "0", "0"),
        ("positions", str(whole["right"]), str(whole["wrong"]), "0", "0", "0"),
    ]
    assert f"; f1 {f1:.4f} " in table[1][6]
