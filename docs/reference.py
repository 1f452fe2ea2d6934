"""Writes the reference from the code: `uv run --no-sync python docs/reference.py`. A test says that it is current."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import typer
import yaml
from examples import EXAMPLES
from jinja2 import Template
from pilot.cli import app
from pilot.cli.gates import BROKEN
from pilot.settings import SECRETS, Settings
from pilot.workbench.checks import CHECKS, PHASES, Check
from pilot.workbench.evaluation import Verdict
from pydantic.fields import FieldInfo

HERE = Path(__file__).parent
CONFIG: dict[str, Any] = yaml.safe_load((HERE.parent / "copier.yml").read_text(encoding="utf-8"))
QUESTIONS = {
    name: question for name, question in CONFIG.items() if not name.startswith("_") and question.get("when", True)
}
OWNERS = {
    "managed": "The template's. A team does not edit these; an update replaces them. Each outside of `pilot/` names in "
    "its first lines where to extend it.",
    "seed": "The team's after the first render. An update neither changes them nor brings back one that was deleted.",
    "generated": "Made by work in the pilot, and never rendered.",
}
# How the command's own help calls what an option takes, and how people do.
TAKES = {"<str>": "TEXT", "<int>": "NUMBER", "<path>": "PATH", "<%Y-%m-%d>": "YYYY-MM-DD"}
# The kinds of values of a setting, and the words for their bounds.
KINDS = {"int": "a whole number", "float": "a number", "Path": "a path; a relative one begins at the pilot's folder"}
BOUNDS = {"ge": "from {}", "gt": "above {}", "le": "to {}", "lt": "below {}"}


def pages() -> dict[str, str]:
    """The text of each page of the reference, by its file's name."""
    return {
        "questions.md": questions(QUESTIONS),
        "commands.md": commands(app),
        "settings.md": settings(Settings.model_fields, SECRETS),
        "gates.md": gates(CHECKS.values()),
        "ownership.md": ownership(CONFIG["_ownership"]),
    }


def questions(asked: Mapping[str, Mapping[str, Any]]) -> str:
    """What Copier asks, in the order of `copier.yml`."""

    def parts() -> Iterator[str]:
        yield "# Questions"
        yield (
            f"`copier copy` asks {len(asked)} questions; each has a default, so `--defaults` asks none. The answers "
            "stand in `.copier-answers.yml` of the pilot. They fill the files that are the team's from then on, "
            "which is where a team changes its mind; of `ci` alone an [update](../how-to/update.md#change-an-answer) "
            "takes another one. `--data` answers one on the command line:"
        )
        yield "```text\nuvx copier copy --data approach=buy --data ci=gitlab TEMPLATE my-pilot\n```"
        for name, question in asked.items():
            yield f"## `{name}`"
            yield _line(question["help"])
            choices = question.get("choices", {})
            if isinstance(choices, str):
                yield _table(("answer", "meaning", "of task"), _by_task(choices, asked["task"]["choices"].values()))
            elif choices:
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
            "In the folder of a pilot each is written `uv run pilot ...`, in its container `pilot ...`. `--help` "
            "behind any of them says what stands here."
        )
        yield _table(("exit code", "meaning"), _exit_codes())
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
            "with a message that lists all that is wrong. To set one for one command:"
        )
        yield "```text\nPILOT_PORT=8080 uv run pilot serve\n```"
        yield (
            "Compose reads `.env`, for which `.env.example` is the pattern, and passes on the settings that "
            "`compose.yaml` names; pass others on in `compose.override.yaml`."
        )
        for name, field in fields.items():
            if name not in secrets:
                yield f"## {_code(f'PILOT_{name.upper()}')}"
                yield field.description or ""
                yield f"- Default: {_setting_default(field)}\n- Takes: {_allowed(field)}"
        yield "## Secrets"
        yield (
            "A secret stands in a file. The service reads the file that `PILOT_NAME_FILE` names, or else the file "
            "of the setting's name in lower case in `secrets/`. A variable of the setting's own name, without `_FILE`, "
            "wins over both. `pilot secrets init` makes those that development needs."
        )
        for name in secrets:
            yield f"### {_code(f'PILOT_{name.upper()}_FILE')}"
            yield fields[name].description or ""
            yield f"- Default: {_code(f'secrets/{name}')}, if it is there"

    return _page(parts())


def gates(checks: Iterable[Check]) -> str:
    """What each gate asks."""
    of_gate: dict[int, list[Check]] = {number: [] for number in PHASES}
    for check in checks:
        of_gate[check.gate].append(check)

    def parts() -> Iterator[str]:
        yield "# Gates"
        yield (
            "`pilot gate N` looks at each item of gate N. *Evidence* is what a check sees for itself; an "
            "*attestation* is what only a person can say, with the name. An item that waits for another one is "
            "looked at once that one holds. The exit code is 0 where all hold, and 1 where one does not."
        )
        for number, found in of_gate.items():
            yield f"## Gate {number}: {PHASES[number]}"
            for check in found:
                yield f"### {_code(check.id)}"
                yield check.question
                facts = [f"By: {check.by}", f"Looks at: {_code(check.source)}"]
                facts += [f"Waits for: {', '.join(map(_code, check.needs))}"] if check.needs else []
                yield "\n".join(f"- {line}" for line in (*facts, f"How to fix it: {check.fix}"))

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
    yield f"```text\n{_usage(name, command, context)}\n```"
    told = [(record[0], record[1]) for parameter in command.params if (record := parameter.get_help_record(context))]
    if told:
        yield _table(("argument", "meaning"), ((_code(_takes(what)), _told(what, meaning)) for what, meaning in told))
    example = EXAMPLES.get(name.removeprefix("pilot "))
    if example:
        yield f"Example: {_code(f'uv run pilot {example}')}"


def _usage(name: str, command: Any, context: Any) -> str:
    return " ".join((name, *command.collect_usage_pieces(context))).replace("[[", "[").replace("]]", "]")


def _exit_codes() -> Iterator[tuple[str, str]]:
    verdicts = {verdict.exit_code: f"`pilot evaluate`: {verdict}" for verdict in Verdict if verdict.exit_code}
    yield "0", f"Done. Of a gate or a check: it holds. Of `pilot evaluate`: {Verdict.MET}."
    yield (
        "1",
        "A mistake of the user's, with a message that says what to do next. Of a gate or a check: it does not hold.",
    )
    yield "2", "A wrong argument."
    verdicts[BROKEN] = f"`pilot check`: a promise is broken. {verdicts.get(BROKEN, '')}".strip()
    for code, meaning in sorted(verdicts.items()):
        yield str(code), f"{meaning}."


def _takes(what: str) -> str:
    for shown, word in TAKES.items():
        what = what.replace(shown, word) if what.startswith("-") else what.replace(f" {shown}", "")
    return what


def _told(what: str, meaning: str) -> str:
    return _line(meaning) or ("One of these, or nothing." if "|" in what else "")


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


def _allowed(field: FieldInfo) -> str:
    kind, *others = get_args(field.annotation) or (field.annotation,)
    if isinstance(kind, str):
        return f"one of {', '.join(map(_code, (kind, *others)))}"
    limits = [
        words.format(getattr(limit, name))
        for limit in field.metadata
        for name, words in BOUNDS.items()
        if hasattr(limit, name)
    ]
    return " ".join((KINDS.get(kind.__name__, "text"), *limits))


def _by_task(choices: str, tasks: Iterable[str]) -> list[tuple[str, str, str]]:
    """The choices that depend on the task, each with the tasks that have it."""
    found: dict[tuple[str, str], list[str]] = {}
    for task in tasks:
        for label, value in yaml.safe_load(Template(choices).render(task=task)).items():
            found.setdefault((_code(value), _meaning(label)), []).append(_code(task))
    return [(value, meaning, ", ".join(having)) for (value, meaning), having in found.items()]


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
