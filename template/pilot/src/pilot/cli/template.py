"""The verbs of `pilot template`: what the template owns here, what is new in it, and how to get that."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from pilot.cli.common import notes, pilot_root
from pilot.contract import PilotError
from pilot.workbench import template_tools as tools

app = typer.Typer(no_args_is_help=True, help="The template: check its files, see what is new, update.")


@app.command()
def check(
    path: Annotated[str, typer.Argument(help="Print the patch that puts this file back.", show_default=False)] = "",
) -> None:
    """Lists which of the template's files were edited, removed or added, and where such a change belongs instead. Exit
    code 1 where there is one: an update may conflict with it."""
    root = pilot_root()
    with tools.fetched(root) as template, TemporaryDirectory(prefix="pilot-") as folder:
        shipped = template.render(Path(folder) / "shipped", template.version)
        report = tools.edits(root, shipped)
        if path:
            wanted = Path(path).as_posix()
            if wanted == tools.ANSWERS:
                raise PilotError(f"Copier alone writes {path}. Get it back from git's history.")
            there = any((folder / wanted).is_file() for folder in (root, shipped.folder))
            if not there or not shipped.match("managed", [wanted]):
                raise PilotError(f"{path} is not one of the template's files, named from {root}.")
            _show(tools.patch(root, shipped.folder, wanted), root)
            return
    for edit in report.found:
        print(f"{edit.what:<8} {edit.path}")
    for belongs in dict.fromkeys(edit.belongs for edit in report.found):
        concerned = [edit.path for edit in report.found if edit.belongs == belongs]
        print(f"\n{concerned[0]}{f' and {len(concerned) - 1} more' if len(concerned) > 1 else ''}: {belongs}")
    if report.found:
        print(
            f"\nNot as {shipped.version} shipped them: {len(report.found)}. To put one back: "
            f"uv run pilot template check {shlex.quote(report.found[0].path)} | git apply"
        )
        raise typer.Exit(1)
    beside = f" Yours beside them: {', '.join(report.beside)}." if report.beside else ""
    print(f"All {report.managed} files of the template's are as {shipped.version} shipped them.{beside}")


@app.command()
def news(
    path: Annotated[
        str, typer.Argument(help="Print the patch that makes this file the new one.", show_default=False)
    ] = "",
) -> None:
    """Shows what a newer version brings: its changelog, its new questions, and what your own files would look like,
    were the pilot rendered today, because an update never touches them."""
    root = pilot_root()
    with tools.fetched(root) as template, TemporaryDirectory(prefix="pilot-") as folder:
        then = template.render(Path(folder) / "then", template.version)
        now = template.render(Path(folder) / "now")
        # A version that was never released is no older than the release before it.
        behind = not template.past(now.version)
        now = now if behind else then
        if path:
            wanted = Path(path).as_posix()
            if wanted not in now.owned("seed"):
                raise PilotError(f"{path} is not one of the files that {now.version} gives to a team.")
            _show(tools.patch(root, now.folder, wanted), root)
            return
        seeds = tools.seeds(root, then, now)
        changelog = tools.changes(template, then.version, now.version)
        asked = tools.questions(template.answers, tools.answers(now.folder), now.config)
    here = f"This pilot has {then.version}; the newest is {now.version}, by `pilot template update`."
    print(here if behind else f"This pilot has the newest version, {now.version}.")
    if changelog:
        print(f"\n{changelog}")
    for question in asked:
        print(f"\n{question}")
    told = {
        "new": "New in it, and not here:",
        "changed": "Changed by the template, and not as you have it:",
        "absent": "Not here (you deleted it, or an earlier version brought it):",
        "differs": "Otherwise in a new pilot (you edited it, or an earlier version changed it):",
    }
    for what, heading in told.items():
        lines = [seed for seed in seeds if seed.what == what]
        if lines:
            print(f"\n{heading}")
        for seed in lines:
            add = f"   uv run pilot paper add {seed.paper}" if seed.paper else ""
            print(f"  {seed.path:<40} +{seed.added} -{seed.removed}{add}".rstrip())
    if not seeds:
        print("Your files are what a new pilot would get.")
        return
    show = f"uv run pilot template news {shlex.quote(seeds[0].path)}"
    print(f"\nTo see a change: {show}\nTo take it whole: {show} | git apply")
    if behind and any(seed.paper for seed in seeds):
        print("Papers can be added after the update.")


@app.command()
def update() -> None:
    """Brings the newest version of the template's files, and none of yours. Then it locks, lints and tests, and shows
    what to read. Exit code 1 where something is left to do."""

    def tell(line: str) -> None:
        print(line, flush=True)

    root = pilot_root()
    _elsewhere(root, "Run what is named below in {}: in another folder git does it to a part.")
    tools.refuse_unsaved(root)
    with tools.fetched(root) as template:
        tell(f"updating from {template.address}")
        done = tools.update(root, template)
    if not done.paths:
        tell(f"{done.after} is the newest version, and it is here already.")
        return
    tell(f"{done.before} -> {done.after}: {len(done.paths)} files changed")
    conflicts = [*tools.conflicts(root), *done.lost]
    left = [*tools.STEPS] if conflicts else tools.prove(root, tell)
    if done.changelog:
        tell(f"\nRead what changed for you:\n\n{done.changelog}\n")
    for question in done.defaulted:
        tell(str(question))
        tell(f"  To answer otherwise, commit, then: {tools.AGAIN} {question.name}=ANSWER")
    if left:
        conflict = "\n  ".join(["Edits of the template's files conflict with it:", *conflicts]) + "\nResolve that"
        what = conflict if conflicts else f"`{left[0]}` fails. Fix that"
        raise PilotError(
            f"The update is here and not finished. {what}, then run what is left: {' && '.join(left)}\n"
            f"To undo the update instead: {tools.UNDO}"
        )
    if done.edited:
        tell(f"Not as {done.after} ships them: {done.edited} of the template's files. uv run pilot template check")
    tell("What is new in files that are yours: uv run pilot template news")
    tell(f"Look at it (git diff), then: git add -A && git commit -m 'Update the template to {done.after}'")


def _show(patch: str, root: Path) -> None:
    """Prints a patch as it is, whatever its line ends and its encoding."""
    _elsewhere(root, "Apply it in {}: in another folder `git apply` may pass over it without a word.")
    sys.stdout.flush()
    sys.stdout.buffer.write(patch.encode("utf-8", "surrogateescape"))


def _elsewhere(root: Path, note: str) -> None:
    """Notes where the pilot is, to those who are in another folder."""
    if Path.cwd() != root:
        notes.print(note.format(root), markup=False)
