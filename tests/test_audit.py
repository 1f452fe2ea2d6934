"""The dependency audit cannot pass without auditing: against a stand-in for the advisory service.

Not run here: an audit against the service itself, which this machine may not reach.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from advisories import ADVISORY, Advisories, advisories
from helpers import ROOT, commit, run
from jobs import outcome
from stack import UV, free_port

AUDIT = ("uv run --no-project python ci/audit.py",)
# One for every platform, one for another platform than this, and one with a version for each half of the Pythons.
DEPENDENCIES = [
    "idna==3.10",
    "colorama==0.4.6; sys_platform == 'win32'",
    "six==1.16.0; python_version < '3.12'",
    "six==1.17.0; python_version >= '3.12'",
]
PACKAGES = {("idna", "3.10"), ("colorama", "0.4.6"), ("six", "1.16.0"), ("six", "1.17.0")}


def project(folder: Path, dependencies: list[str]) -> Path:
    """A project with a lock, and the audit of the template."""
    (folder / "ci").mkdir(parents=True)
    (folder / "ci/audit.py").write_bytes((ROOT / "template/ci/audit.py").read_bytes())
    text = f'[project]\nname = "audited"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = {dependencies}\n'
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    run(UV, "lock", "--quiet", cwd=folder, UV_PYTHON_DOWNLOADS="never")
    return folder


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("audit") / "project", DEPENDENCIES)


@pytest.fixture
def service() -> Iterator[Advisories]:
    with advisories() as service:
        yield service


def audit(folder: Path, url: str, **environment: str) -> tuple[int, str]:
    done = outcome(AUDIT, folder, OSV_URL=url, **environment)
    return done.returncode, done.stdout + done.stderr


def test_every_package_of_the_lock_is_asked_about(audited: Path, service: Advisories) -> None:
    assert audit(audited, service.url) == (0, "4 of 4 packages audited, 0 with known vulnerabilities.\n")
    assert service.asked == PACKAGES


@pytest.mark.parametrize("name", sorted({name for name, _ in PACKAGES}))
def test_a_known_vulnerability_is_red_on_any_platform(name: str, audited: Path, service: Advisories) -> None:
    service.vulnerable = {name}
    code, said = audit(audited, service.url)
    assert code == 1
    assert f"{name} " in said
    assert ADVISORY in said


def test_an_advisory_that_does_not_concern_the_pilot_is_passed_over(audited: Path, service: Advisories) -> None:
    service.vulnerable = {"idna"}
    assert audit(audited, service.url, AUDIT_IGNORE=f"PYSEC-2098-7 {ADVISORY}")[0] == 0


def test_a_service_that_fails_or_is_not_there_is_red(audited: Path, service: Advisories) -> None:
    service.works = False
    assert audit(audited, service.url)[0] == 2
    code, said = audit(audited, f"http://127.0.0.1:{free_port()}/v1/query")
    assert code == 2
    assert "Not audited" in said


@pytest.mark.parametrize("source", ["git", "path"])
def test_a_package_that_no_service_knows_is_red_until_somebody_answers_for_it(
    source: str, service: Advisories, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    project_file = '[project]\nname = "ownlib"\nversion = "1"\n'
    (tmp_path / "own/pyproject.toml").write_text(project_file, encoding="utf-8")
    commit(tmp_path / "own", "Begin")
    address = f"{'git+' if source == 'git' else ''}file://{tmp_path}/own"
    folder = project(tmp_path / "project", ["idna==3.10", f"ownlib @ {address}"])
    code, said = audit(folder, service.url)
    assert code == 2
    name = "ownlib" if source == "git" else address
    assert f"Not audited: no service knows {name}. " in said
    passed = (0, "1 of 1 packages audited, 0 with known vulnerabilities.\n")
    assert audit(folder, service.url, AUDIT_IGNORE=f"{ADVISORY} {name}") == passed


def test_an_empty_lock_and_no_lock_are_red(service: Advisories, tmp_path: Path) -> None:
    folder = project(tmp_path / "empty", [])
    assert audit(folder, service.url) == (2, "Not audited: the lock names no package.\n")
    (folder / "uv.lock").unlink()
    code, said = audit(folder, service.url)
    assert code == 2
    assert "commit uv.lock" in said


def test_a_report_that_leaves_a_package_out_is_red(audited: Path, tmp_path: Path) -> None:
    report = {"dependencies": [{"name": name, "version": version, "vulns": []} for name, version in PACKAGES]}
    report["dependencies"] = [one for one in report["dependencies"] if one["name"] != "idna"]
    fake = tmp_path / "uvx"
    fake.write_text(
        f"#!/bin/sh\nfor a; do case $a in --output=*) echo '{json.dumps(report)}' >${{a#--output=}};; esac; done"
    )
    fake.chmod(0o755)
    # Not by `uv run`, nor by a shim, which put the real one before it on the PATH.
    done = outcome((f"PATH={tmp_path}:$PATH {sys.executable} ci/audit.py",), audited)
    assert (done.returncode, done.stderr) == (2, "Not audited: pip-audit left out idna==3.10.\n")


def test_pip_audit_alone_would_pass_what_it_does_not_audit(service: Advisories, tmp_path: Path) -> None:
    """Takes the count away, so that the tests above are known to see it."""
    (tmp_path / "requirements.txt").write_text('colorama==0.4.6; sys_platform == "win32"\n')
    service.vulnerable = {"colorama"}
    command = "uvx pip-audit==2.10.1 --strict --disable-pip --no-deps -s osv -r requirements.txt --osv-url"
    done = subprocess.run([*command.split(), service.url], cwd=tmp_path, capture_output=True)
    assert (done.returncode, service.asked) == (0, set())
