"""Manifests as the cluster would get them, and what checkers say to them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from helpers import ROOT, Render, kustomize, run
from stack import UV

Manifest = dict[str, Any]
VERSIONS = ("1.35", "1.36", "1.37")
OVERLAYS = ("staging", "production")
# The image is named by its digest, so what is there under that name is what is wanted.
NOT_ASKED = "CKV_K8S_15"


def build(folder: Path) -> list[Manifest]:
    """The manifests of a kustomization."""
    command = kustomize()
    assert command is not None
    return [one for one in yaml.safe_load_all(run(*command, folder, cwd=folder)) if one]


def own_layer(pilot: Path, overlay: str, bought: bool) -> Path:
    """A team's own folder, as the docs show it, above an overlay."""
    page = (ROOT / "docs/how-to/kubernetes.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```yaml\n(.*?)```", page, re.S)
    folder = pilot / "deploy" / overlay
    folder.mkdir(parents=True)
    if bought:
        [line] = re.findall(r"`(components: .*)`", page)
        example += f"{line}\n"
    (folder / "kustomization.yaml").write_text(example.replace("production", overlay))
    return folder


def rendered(render: Render, folder: Path, overlay: str = "production", *, bought: bool = False) -> list[Manifest]:
    """What a team would apply, of a pilot that trains its model, or buys it."""
    return build(own_layer(render(folder, wrapper=False), overlay, bought))


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Each pod that the manifests make, by the name of what makes it: its metadata and its spec."""
    for one in manifests:
        spec = one.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield one["metadata"]["name"], template


def named(manifests: list[Manifest], kind: str, name: str = "pilot") -> Manifest:
    """The one manifest of this kind and name."""
    [found] = [one for one in manifests if one["kind"] == kind and re.fullmatch(name, one["metadata"]["name"])]
    return found


def schema_errors(manifests: list[Manifest], version: str, folder: Path) -> list[str]:
    """What the strict schemas of a version find. A kind that they do not know is an error too."""
    file = folder / f"manifests-{version}.yaml"
    file.write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
    tool = (UV, "tool", "run", "--quiet", "--from", "kubernetes-validate==1.37.0", "kubernetes-validate")
    done = subprocess.run([*tool, "--strict", "-k", version, file], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    assert sum("passed for resource" in line for line in lines) or done.returncode, done.stderr
    return [line for line in lines if not line.startswith("INFO")]


def policy_errors(sets: dict[str, list[Manifest]], folder: Path) -> dict[str, set[str]]:
    """The policies that each set of manifests breaks, by the checker's names. One run: it takes seconds to start."""
    for name, manifests in sets.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
    command = (UV, "tool", "run", "--quiet", "--from", "checkov==3.3.30", "checkov", "--directory", ".")
    options = ("--framework", "kubernetes", "--output", "json", "--soft-fail", "--skip-download")
    report = json.loads(run(*command, *options, "--skip-check", NOT_ASKED, cwd=folder))
    assert report["summary"]["passed"] > 50 * len(sets)
    found: dict[str, set[str]] = {name: set() for name in sets}
    for check in report["results"]["failed_checks"]:
        found[Path(check["file_path"]).stem].add(check["check_id"])
    return found
