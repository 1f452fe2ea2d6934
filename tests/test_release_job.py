"""The release, up to the push: the image is built, and the list of what is in it is whole.

Not run here, because they need a registry, GitHub's signing service or a release page: `docker login`, `docker push`,
the two signed provenances, `gh release create`, `gh attestation verify`. The checkers of workflows read those steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from helpers import run
from jobs import github, outcome
from stack import BASE_IMAGE

# A registry's name may not have capitals; a repository's and a tag may.
GIVEN, IMAGE = "registry.invalid/Team/Ticket-Triage:v1-RC1", "registry.invalid/team/ticket-triage:v1-RC1"
PYTHONS = """
import importlib.metadata
import re

for found in importlib.metadata.distributions():
    print(re.sub("[-_.]+", "-", found.name).lower() + "==" + found.version)
"""


@pytest.fixture(scope="module")
def released(pilot_folder: Path, image: str) -> Iterator[Path]:
    """The list of what is in the image that the release builds, whose layers are those of the other tests' image."""
    [build] = [command for command in github(pilot_folder)["release"].commands if command.endswith("build")]
    done = outcome((build,), pilot_folder, IMAGE=GIVEN, BASE_IMAGE=BASE_IMAGE)
    assert done.returncode == 0, done.stdout + done.stderr
    yield pilot_folder / "var/release/sbom.cdx.json"
    run("docker", "image", "rm", "--force", IMAGE, f"{IMAGE}-jobs", cwd=pilot_folder)


def inside(pilot: Path, *command: str) -> set[str]:
    return set(run("docker", "run", "--rm", IMAGE, *command, cwd=pilot).split())


def listed(file: Path, kind: str) -> set[str]:
    components = json.loads(file.read_text(encoding="utf-8"))["components"]
    return {f"{one['name']}=={one['version']}" for one in components if one.get("purl", "").startswith(f"pkg:{kind}/")}


@pytest.mark.docker
def test_each_package_of_the_image_is_listed(released: Path, pilot_folder: Path) -> None:
    python = inside(pilot_folder, "python", "-c", PYTHONS)
    assert {one.partition("==")[0] for one in python} > {"ai-pilot-wrapper", "ticket-triage", "fastapi"}
    assert {one.lower().replace("_", "-") for one in listed(released, "pypi")} == python
    assert listed(released, "deb") == inside(pilot_folder, "dpkg-query", "-Wf", "${Package}==${Version}\n")


@pytest.mark.docker
def test_the_image_for_jobs_has_a_list_of_its_own_with_what_it_has_more(released: Path) -> None:
    more = listed(released.with_name("sbom-jobs.cdx.json"), "pypi") - listed(released, "pypi")
    assert {one.partition("==")[0] for one in more} >= {"scipy", "statsmodels"}


@pytest.mark.docker
def test_the_list_is_in_the_format_of_the_field(released: Path, pilot_folder: Path) -> None:
    document = json.loads(released.read_text(encoding="utf-8"))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == IMAGE.rpartition(":")[0]


@pytest.mark.parametrize(("word", "given"), [("build", {}), ("", {"IMAGE": GIVEN}), ("push", {"IMAGE": GIVEN})])
def test_without_a_name_a_word_or_a_registry_nothing_is_released(
    word: str, given: dict[str, str], pilot_folder: Path
) -> None:
    done = outcome((f"bash ci/release.sh {word}",), pilot_folder, **given)
    assert done.returncode != 0
    assert "IMAGE" in done.stderr or "Say build or push" in done.stderr or "REGISTRY" in done.stderr


def test_what_is_pushed_is_what_is_signed_and_published(pilot_folder: Path) -> None:
    workflow = yaml.safe_load((pilot_folder / ".github/workflows/pilot-release.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["release"]["steps"]
    signed = [step["with"] for step in steps if "attest-build-provenance" in step.get("uses", "")]
    assert signed == [
        {
            "subject-name": "${{ steps.push.outputs.name }}",
            "subject-digest": "${{ steps.push.outputs.digest }}",
            "push-to-registry": True,
        },
        {
            "subject-name": "${{ steps.push.outputs.name }}",
            "subject-digest": "${{ steps.push.outputs.jobs-digest }}",
            "push-to-registry": True,
        },
        {"subject-path": "var/release/*.cdx.json"},
    ]
    [push] = [step for step in steps if step.get("id") == "push"]
    assert push["run"] == "bash ci/release.sh push"
    # Nothing is built without the promises kept, and nothing is published that was not signed.
    order = [step.get("run", step.get("uses", "")) for step in steps]
    assert order.index("uv run pilot check") < order.index("bash ci/release.sh build") < order.index(push["run"])
    assert workflow["jobs"]["checks"]["uses"] == "$/.github/workflows/pilot-ci.yml"
    assert (workflow["jobs"]["release"]["needs"], workflow["jobs"]["publish"]["needs"]) == ("checks", "release")
    caller = yaml.safe_load((pilot_folder / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    assert caller[True] == {"push": {"tags": ["v*"]}}


def test_the_readme_says_how_anybody_checks_a_release(pilot_folder: Path) -> None:
    assert "gh attestation verify oci://" in (pilot_folder / "README.md").read_text(encoding="utf-8")
