"""Each page whose fault can be injected is drilled: its commands restore the service, and nothing else does."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from helpers import FULL, Render, run
from pilot.workbench.documents import runbook
from stack import SHELL, UV

FOLLOWED = (
    "garbage",
    "model-refused",
    "restore",
    "roll-back-the-model",
    "rotate-a-key",
    "stepped-back",
    "switch-off",
    "unsafe-answer",
)
# On each push one fault with an alert, and one page without; all of them nightly.
SAMPLE = FOLLOWED if FULL else ("garbage", "restore")


@pytest.fixture(scope="module")
def trained(pilot_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pilot with a model."""
    folder = tmp_path_factory.mktemp("drills") / "ticket-triage"
    shutil.copytree(pilot_folder, folder, symlinks=True, ignore=shutil.ignore_patterns(".venv", "var"))
    run(UV, "sync", "--quiet", cwd=folder)
    run(UV, "run", "pilot", "model", "train", cwd=folder)
    return folder


def pilot(folder: Path, *arguments: str) -> str:
    return run("env", *SHELL, UV, "run", "pilot", *arguments, cwd=folder)


def test_all_of_them_are_known_here(trained: Path) -> None:
    assert tuple(runbook.drillable(trained, "build")) == FOLLOWED


@pytest.mark.parametrize("name", SAMPLE)
def test_a_page_restores_the_service_and_nothing_else_does(name: str, trained: Path) -> None:
    said = pilot(trained, "drill", name)
    evidence = trained / said.splitlines()[-1].removeprefix("wrote ")
    written = json.loads(evidence.read_text(encoding="utf-8"))
    assert (written["kind"], written["page"], written["how"]) == ("drill", name, "by the command")
    assert written["restored_seconds"] > 0
    assert (written["detected_seconds"] is None) == (not runbook.read(trained, name).header.alert)
    assert "stays broken" in pilot(trained, "drill", name, "--without-mitigate")
    assert not list(trained.glob("var/*.db")), "nothing outside of the scratch copy is touched"


@pytest.fixture(scope="module")
def bought(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pilot that buys its model, without a provider."""
    folder = render(tmp_path_factory.mktemp("bought") / "ticket-triage", approach="buy")
    run(UV, "sync", "--quiet", cwd=folder, timeout=900, UV_PYTHON_DOWNLOADS="never")
    return folder


@pytest.mark.parametrize("name", ["garbage", "model-unreachable"] if FULL else ["model-unreachable"])
def test_a_pilot_that_buys_its_model_is_drilled_with_a_stand_in_for_the_provider(name: str, bought: Path) -> None:
    assert "wrote phases/evidence/" in pilot(bought, "drill", name)
    assert "stays broken" in pilot(bought, "drill", name, "--without-mitigate")


def test_a_fault_of_a_bought_model_is_none_of_an_own_one(trained: Path, bought: Path) -> None:
    assert set(runbook.drillable(bought, "buy")) - set(FOLLOWED) == {"model-unreachable"}
    for folder, name in ((trained, "model-unreachable"), (bought, "model-refused")):
        with pytest.raises(AssertionError, match="names no fault that can be injected here"):
            pilot(folder, "drill", name)


def test_a_page_that_does_not_help_fails_its_drill(trained: Path) -> None:
    page = trained / "runbook" / "garbage.md"
    text = page.read_text(encoding="utf-8")
    try:
        page.write_text(
            text.replace("uv run pilot model rollback || uv run pilot mode off", "uv run pilot mode auto --scratch")
        )
        with pytest.raises(AssertionError, match="its alert is still there"):
            pilot(trained, "drill", "garbage")
        page.write_text(text.replace("uv run pilot model rollback ||", "uv run pilot model roll-back &&"))
        with pytest.raises(AssertionError, match="A command of the page failed"):
            pilot(trained, "drill", "garbage")
    finally:
        page.write_text(text, encoding="utf-8")


def test_without_prometheus_and_without_a_fault_it_says_what_to_do(trained: Path) -> None:
    with pytest.raises(AssertionError, match="names no fault that can be injected here"):
        pilot(trained, "drill", "disk-full")
    without = os.pathsep.join(
        part for part in os.environ["PATH"].split(os.pathsep) if not (Path(part) / "prometheus").exists()
    )
    command = trained / ".venv" / "bin" / "pilot"
    with pytest.raises(AssertionError, match="is not on the PATH"):
        run(command, "drill", "garbage", cwd=trained, PATH=without)
