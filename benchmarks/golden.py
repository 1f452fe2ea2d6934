"""Everything that a pilot prints and writes, from its first command to its end, as files to compare two versions by.

    python benchmarks/golden.py OUT --data FOLDER [--models FOLDER]

FOLDER holds `train.csv` and `test.csv` with the columns `text` and `category`. The pilot is rendered from this checkout
and driven by its commands with a clock that is set (`tests/banking.py`): one that deserves a go, with its documents
damaged one by one, and one that is closed. Identities, keys, hashes and times that differ from run to run are masked.
Run it in two checkouts and compare: `diff -r OUT-1 OUT-2`. `--models` keeps the trained model for the next run.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from banking import ADA, DUE, SIGNED, Team, copied  # noqa: E402
from copier import run_copy  # noqa: E402

BECAUSE = "the desk sorts a question in a fifth of the time, and asks to keep it"
MASKS = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"pilot_[0-9a-f]{8}_[\w-]+", "KEY"),
    (r"\b[0-9a-f]{12,64}\b", "HASH"),
    (r"`pilot keys revoke [0-9a-f]{8}`", "`pilot keys revoke ID`"),
    (r"The key [0-9a-f]{8} of", "The key ID of"),
    (r"^[0-9a-f]{8}(?= )", "KEYID  "),
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"(\d{4}-\d\d-\d\d)[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?", r"\1 TIME"),
    (r"\b\d+(\.\d+)? (ms|s|seconds)\b", "DURATION"),
)
# Each document, damaged in some ways: what stands there, and what takes its place.
DAMAGE = {
    "phases/1-scope/charter.md": (
        ("target: 0.75", "target: most"),
        ("weeks: 6", "weeks: 9"),
        ("name: Ada Byron", "name: The team"),
        ("judged_items: 350", "judged_items:"),
        ("## Risks", "## Other"),
        ("metric: accuracy", "metric: happiness"),
        ("people_affected: yes", "people_affected: perhaps"),
        ("---\n", "--\n"),
        ("budget: 40000", "budgett: 40000"),
    ),
    "phases/1-scope/candidates.csv": (
        (",4,", ",7,"),
        (",yes,", ",,"),
        ("impact,", "effect,"),
        ("two clerks all day", ""),
    ),
    "phases/2-build/baseline.csv": ((",Tom Reed,", ",,"), (",yes,", ",perhaps,"), ("2027-01-11", "2027-13-11")),
    "phases/3-decide/costs.toml": (
        ("[20, 21, 22]", "[22, 21, 20]"),
        ("monitoring = 150", "monitoring = 'much'"),
        ("licences = 0", ""),
        ("=", ":"),
    ),
    "phases/3-decide/gaps.csv": ((",major,", ",huge,"), ("failover", "elsewhere"), (",3,", ",soon,")),
}
# The verb that reads each of them.
ASKED = {
    "charter": "charter",
    "candidates": "candidates",
    "baseline": "baseline show",
    "costs": "costs",
    "gaps": "gaps",
}
READ = (
    *("status", "check", "charter", "candidates", "baseline show", "interview list", "costs", "gaps", "decide"),
    *("paper check", "paper status", "gate 1", "gate 2", "gate 3", "keys list", "mode", "evaluate", "--help"),
)


class Play:
    """Runs commands in a pilot's folder and keeps what each printed."""

    def __init__(self, team: Team, out: Path) -> None:
        self.team, self.out, self.number = team, out, 0
        out.mkdir(parents=True)
        team.says = self.says  # type: ignore[method-assign]

    def masked(self, text: str) -> str:
        for folder in (self.team.folder, self.team.programs.parent, ROOT):
            text = text.replace(str(folder), "FOLDER")
        for pattern, mask in MASKS:
            text = re.sub(pattern, mask, text, flags=re.MULTILINE)
        return text

    def says(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            self.team.command(*words), cwd=self.team.folder, env=self.team.environment, capture_output=True, text=True
        )
        self.number += 1
        name = re.sub(r"[^\w]+", "-", " ".join(words))[:50].strip("-")
        self.keep(f"{self.number:03}-{name}.txt", f"exit {done.returncode}\n{done.stdout}--\n{done.stderr}")
        return f"{done.stdout}\n{done.stderr}"

    def keep(self, name: str, text: str) -> None:
        file = self.out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.masked(text), encoding="utf-8")

    def looks(self) -> None:
        """Every verb that only reads."""
        for words in READ:
            self.says(*words.split())

    def pages(self) -> None:
        """What people are given: report, brief and status, and every document and evidence file."""
        self.says("report")
        self.says("report", "--out", "var/report.md")
        self.says("brief")
        self.says("status", "--html", "var/status.html")
        for file in (*(self.team.folder / "var").glob("*.html"), self.team.folder / "var/report.md"):
            if file.is_file():
                self.keep(f"pages/{file.name}", file.read_text(encoding="utf-8"))
        for file in sorted((self.team.folder / "phases").rglob("*")):
            if file.is_file():
                self.keep(str(file.relative_to(self.team.folder)), file.read_text(encoding="utf-8"))


def installed(scratch: Path, data: Path, models: Path | None) -> Team:
    """A pilot whose model learned from a third of the training set."""
    folder = scratch / "pilot"
    run_copy(str(ROOT), folder, {"pilot_name": "Question sorting"}, defaults=True, quiet=True, vcs_ref="HEAD")
    subprocess.run([shutil.which("uv") or "uv", "sync", "--quiet"], cwd=folder, check=True)
    with (data / "train.csv").open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    (folder / "var").mkdir(exist_ok=True)
    with (folder / "var" / "train.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows[::3]])
    team = Team(folder, folder / ".venv" / "bin", data)
    team.at(DUE)
    if models is not None and models.is_dir():
        shutil.copytree(models, folder / "var" / "models")
    else:
        team.says("model", "train", "--data", "var/train.csv", "--input", "text", "--label", "category")
        if models is not None:
            shutil.copytree(folder / "var" / "models", models)
    return team


def helps(play: Play) -> None:
    """The help of every verb, by what `--help` lists."""
    listed = play.says("--help")
    for verb in sorted(set(re.findall(r"^│ ([a-z]+) ", listed, re.MULTILINE))):
        under = play.says(verb, "--help")
        for inner in sorted(set(re.findall(r"^│ ([a-z]+) ", under, re.MULTILINE))):
            play.says(verb, inner, "--help")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path)
    asked = parser.parse_args()
    shutil.rmtree(asked.out, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="golden-") as scratch:
        origin = installed(Path(scratch), asked.data, asked.models)
        fresh = Play(copied(origin, Path(scratch) / "fresh"), asked.out / "fresh")
        fresh.team.at(SIGNED)
        helps(fresh)
        fresh.looks()
        for name in ("costs.toml", "playbook", "handoff"):
            fresh.says("paper", "show", name)
        go = Play(copied(origin, Path(scratch) / "go"), asked.out / "go")
        go.team.begins(target=0.75)
        go.looks()
        with go.team.serves() as service:
            go.team.works(service)
            status, described = service.call("/openapi.json", go.team.keys["chat desk"])
            go.keep("openapi.json", f"{status}\n{json.dumps(described, indent=1, sort_keys=True)}")
        go.team.prepares()
        go.looks()
        go.pages()
        damage(go)
        go.says("decide", "go", "--because", BECAUSE, "--shared-with", "Sue Sponsor")
        go.team.commits("Decide")
        go.looks()
        go.pages()
        for words in ("sign charter --role owner --as", "sign playbook --role owner --as"):
            go.says(*words.split(), ADA)
        go.team.at(DUE + timedelta(weeks=4))
        go.looks()
        with sqlite3.connect(go.team.folder / "var" / "pilot.db") as database:
            tables = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
        go.keep("schema.sql", "\n".join(sql for (sql,) in tables))
        missed = Play(copied(origin, Path(scratch) / "missed"), asked.out / "missed")
        missed.team.begins(target=0.97)
        with missed.team.serves() as service:
            missed.team.works(service)
        missed.team.prepares()
        missed.says("decide", "go", "--because", BECAUSE)
        missed.says("decide", "extend", "--because", "a few more weeks would surely settle it")
        missed.says(
            "decide", "no-go", "--because", "one question in six would wait in the wrong queue, as it does today"
        )
        missed.says("close")
        missed.team.closes()
        missed.says("close")
        missed.looks()
        missed.pages()


def damage(play: Play) -> None:
    """Damages each document in turn, and asks the verbs that read it."""
    day = date.fromisoformat((play.team.folder / "var" / "clock").read_text(encoding="utf-8"))
    for name, changes in DAMAGE.items():
        file = play.team.folder / name
        whole = file.read_bytes()
        for before, after in changes:
            text = whole.decode().replace(before, after, 1)
            assert text.encode() != whole, (name, before)
            file.write_text(text, encoding="utf-8")
            for words in ("check", "paper check", ASKED[Path(name).stem]):
                play.says(*words.split())
        file.write_bytes(whole)
        play.team.at(day)


if __name__ == "__main__":
    main()
