"""The files beside the code that the template owns: clean, and each says whose it is and where a team extends it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from helpers import ROOT, Render, files
from test_render import owners


def hadolint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["hadolint", "Dockerfile"], cwd=folder, capture_output=True, text=True)


def test_hadolint_finds_nothing() -> None:
    assert hadolint(ROOT / "template").stdout == ""


DEFECTS = [("USER 10001:10001", "USER root", "DL3002"), ("FROM ${BASE_IMAGE} AS build", "FROM python:latest", "DL3007")]


@pytest.mark.parametrize(("good", "bad", "rule"), DEFECTS)
def test_hadolint_finds_a_planted_defect(good: str, bad: str, rule: str, tmp_path: Path) -> None:
    text = (ROOT / "template" / "Dockerfile").read_text(encoding="utf-8")
    assert good in text
    (tmp_path / "Dockerfile").write_text(text.replace(good, bad), encoding="utf-8")
    assert rule in hadolint(tmp_path).stdout


def test_managed_files_name_their_owner_and_their_extension_point(render: Render, tmp_path: Path) -> None:
    managed = {
        name: content.decode()
        for name, content in files(render(tmp_path / "pilot")).items()
        if owners(name) == ["managed"] and not name.startswith(("pilot/", ".copier-answers"))
    }
    assert {"Dockerfile", "compose.yaml", "loadtest/profiles.toml", "runbook/switch-off.md"} <= set(managed)
    for name, text in managed.items():
        top = text[:1500]
        assert "The template owns this file" in top, name
        assert "Extension point" in top, name
