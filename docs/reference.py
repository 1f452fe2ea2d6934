"""Writes the reference from the code: `uv run --no-sync python docs/reference.py`. A test says that it is current."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
import yaml
from pilot.cli import app
from pilot.gates.rules import PHASES, RULES, Rule
from pilot.settings import SECRETS, Settings
from pydantic.fields import FieldInfo

HERE = Path(__file__).parent
CONFIG: dict[str, Any] = yaml.safe_load((HERE.parent / "copier.yml").read_text(encoding="utf-8"))
QUESTIONS = {name: question for name, question in CONFIG.items() if not name.startswith("_")}
OWNERS = {
    "managed": "The template's. A team does not edit these; an update replaces them. Each outside of `pilot/` names in "
    "its first lines where to extend it.",
    "seed": "The team's after the first render. An update neither changes them nor brings back one that was deleted.",
    "generated": "Made by work in the pilot, and never rendered.",
}


def pages() -> dict[str, str]:
    """The text of each page of the reference, by its file's name."""
    return {
        "questions.md": questions(QUESTIONS),
        "commands.md": commands(app),
        "settings.md": settings(Settings.model_fields, SECRETS),
        "gates.md": gates(RULES),
        "ownership.md": ownership(CONFIG["_ownership"]),
    }


def questions(asked: Mapping[str, Mapping[str, Any]]) -> str:
    """What Copier asks, in the order of `copier.yml`."""

    def parts() -> Iterator[str]:
        yield "# Questions"
        yield (
            f"`copier copy` asks {len(asked)} questions; each has a default, so `--defaults` asks none. The answers "
            "stand in `.copier-answers.yml` of the pilot. They fill the files that are the team's from then on, "
            "which is where a team changes its mind."
        )
        for name, question in asked.items():
            yield f"## `{name}`"
            yield _line(question["help"])
            choices = question.get("choices", {})
            if choices:
                yield _table(
                    ("answer", "meaning"), ((_code(_yaml(value)), _meaning(label)) for label, value in choices.items())
                )
            yield f"Default: {_default(question['default'], asked)}."

    return _page(parts())


def commands(application: typer.Typer) -> str:
    """Every verb of `pilot`, by phase."""
    group: Any = typer.main.get_command(application)
    panels: dict[str, dict[str, Any]] = {}
    for name, command in group.commands.items():
        if not command.hidden:
            panels.setdefault(command.rich_help_panel, {})[f"pilot {name}"] = command

    def parts() -> Iterator[str]:
        yield "# Commands"
        yield (
            "A mistake of the user's ends with exit code 1 and a message that says what to do next, a wrong "
            "argument with 2. Where another exit code means something, the verb says so."
        )
        for panel in sorted(panels):
            yield f"## {panel}"
            for name, command in panels[panel].items():
                yield from _verb(name, command)

    return _page(parts())


def settings(fields: Mapping[str, FieldInfo], secrets: Sequence[str]) -> str:
    """Every variable `PILOT_*`."""

    def parts() -> Iterator[str]:
        yield "# Settings"
        yield (
            "The service and the command read them from the environment. A wrong or unknown `PILOT_*` stops both "
            "with a message that lists all that is wrong."
        )
        yield _table(
            ("variable", "meaning", "default"),
            (
                (_code(f"PILOT_{name.upper()}"), field.description or "", _setting_default(field))
                for name, field in fields.items()
                if name not in secrets
            ),
        )
        yield "## Secrets"
        yield (
            "A secret stands in a file. The service reads the file that `PILOT_NAME_FILE` names, or else the file "
            "of the setting's name in lower case in `secrets/`. A variable of the setting's own name wins over "
            "both."
        )
        yield _table(
            ("variable", "file in `secrets/`", "meaning"),
            ((_code(f"PILOT_{name.upper()}_FILE"), _code(name), fields[name].description or "") for name in secrets),
        )

    return _page(parts())


def gates(rules: Iterable[Rule]) -> str:
    """What each gate asks."""
    of_gate: dict[int, list[Rule]] = {number: [] for number in PHASES}
    for rule in rules:
        of_gate[rule.gate].append(rule)

    def parts() -> Iterator[str]:
        yield "# Gates"
        yield (
            "`pilot gate N` looks at each item of gate N. *Evidence* is what a check sees for itself; an "
            "*attestation* is what only a person can say, with the name. An item that needs another one waits "
            "until that one holds."
        )
        for number, found in of_gate.items():
            yield f"## Gate {number}: {PHASES[number]}"
            if not found:
                yield "Not part of this version. It comes with a later one, by an update."
                continue
            yield _table(
                ("item", "question", "by", "looks at", "what mends it"),
                (
                    (
                        _code(rule.id),
                        rule.question + (f" Needs {', '.join(map(_code, rule.needs))}." if rule.needs else ""),
                        rule.by,
                        _code(rule.source),
                        rule.mend,
                    )
                    for rule in found
                ),
            )

    return _page(parts())


def ownership(classes: Mapping[str, str]) -> str:
    """Which path is whose."""

    def parts() -> Iterator[str]:
        yield "# Ownership"
        yield (
            "Each path of a pilot is in exactly one class. The patterns are those of `copier.yml`, in git's way of "
            "writing them: a folder stands for all that is in it."
        )
        for name, patterns in classes.items():
            yield f"## {name.capitalize()}"
            yield OWNERS[name]
            yield "\n".join(f"- {_code(line)}" for line in patterns.splitlines() if not line.startswith("{%"))

    return _page(parts())


def _verb(name: str, command: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=name)
    yield f"### {_code(name)}"
    yield _line(command.help)
    for child in getattr(command, "commands", {}).values():
        yield from _verb(f"{name} {child.name}", child)
    if hasattr(command, "commands"):
        return
    yield f"```text\n{' '.join((name, *command.collect_usage_pieces(context)))}\n```"
    told = [(record[0], record[1]) for parameter in command.params if (record := parameter.get_help_record(context))]
    if told:
        yield _table(("argument", "meaning"), ((_code(what), _line(meaning)) for what, meaning in told))


def _default(default: Any, asked: Mapping[str, Any]) -> str:
    text = _yaml(default)
    if "{{" not in text and "{%" not in text:
        return _code(text) if text else "empty"
    named = [name for name in asked if re.search(rf"\b{name}\b", text)]
    return f"follows from {', '.join(map(_code, named))}"


def _setting_default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "found from the current folder upwards"
    return "none" if field.default is None else _code(str(field.default))


def _meaning(label: str) -> str:
    return label.partition(": ")[2] or label


def _yaml(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _code(text: str) -> str:
    return f"`{text}`"


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _page(parts: Iterable[str]) -> str:
    head = "<!-- Written by docs/reference.py from the code: change the code, then run `make docs`. -->"
    return "\n\n".join((head, *parts)) + "\n"


if __name__ == "__main__":
    for name, text in pages().items():
        (HERE / "reference" / name).write_text(text, encoding="utf-8")
