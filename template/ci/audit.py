"""Asks an advisory service about every package that uv.lock names, and fails unless each of them was audited.

    uv run --no-project python ci/audit.py

pip-audit says "no known vulnerabilities" where it audited nothing, and passes over packages of other platforms without
a word. So its report is counted against the lock: what it leaves out is an error, and so is a package that comes from a
repository or a folder, which no service knows. Exit code: 0 all audited and nothing known, 1 a known vulnerability, 2
not audited. OSV_URL names a mirror of the service (default: the one of osv.dev); AUDIT_IGNORE, with blanks between
them, the ids of advisories that do not concern this pilot, and packages that no service knows and somebody else audits.

The template owns this file; an update replaces it. Extension points: the variables OSV_URL and AUDIT_IGNORE.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

PIP_AUDIT = "pip-audit==2.10.1"
EXPORT = "uv export --quiet --locked --no-header --no-annotate --no-emit-workspace"
EVERYTHING = "--all-packages --all-extras --all-groups"
# A requirement of the export: name, version, an optional marker, and its hashes on lines of their own.
REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;\\]+)[^\\\n]*(?P<hashes>(?:\\\n[^\\\n]*)*)", re.M)
# One that has no version of a registry, such as `name @ git+...` or `./folder`, by its name or the folder.
ELSEWHERE = re.compile(r"^(?![\w.-]+==|#)(?:-e )?(\S+)", re.M)

Package = tuple[str, str]


class NotAuditedError(Exception):
    """Nobody has looked at a package."""


def ignored() -> list[str]:
    """What this pilot passes over: ids of advisories, and names of packages."""
    return os.environ.get("AUDIT_IGNORE", "").split()


def locked() -> dict[Package, str]:
    """Each package that the lock names, with the requirement that pins and hashes it, whatever the platform."""
    exported = subprocess.run([*EXPORT.split(), *EVERYTHING.split()], capture_output=True, text=True)
    if exported.returncode:
        raise NotAuditedError(f"uv cannot export the lock. Run `uv lock`, commit uv.lock.\n{exported.stderr.strip()}")
    for name in ELSEWHERE.findall(exported.stdout):
        if name not in ignored():
            raise NotAuditedError(f"no service knows {name}. Have somebody look at it, and name it in AUDIT_IGNORE.")
    return {
        (found["name"], found["version"]): f"{found['name']}=={found['version']}{found['hashes']}"
        for found in REQUIREMENT.finditer(exported.stdout)
    }


def rounds(packages: dict[Package, str]) -> list[list[str]]:
    """The requirements in lists of which each has one version of a package at most, as pip-audit wants it."""
    versions: dict[str, list[str]] = defaultdict(list)
    for (name, _), requirement in packages.items():
        versions[name].append(requirement)
    most = max((len(found) for found in versions.values()), default=0)
    return [[found[number] for found in versions.values() if number < len(found)] for number in range(most)]


def audit(requirements: list[str]) -> dict[Package, list[str]]:
    """The packages that pip-audit reports to have looked at, each with the ids of what is known against it."""
    options = ["--strict", "--disable-pip", "--require-hashes", "--progress-spinner=off", "--vulnerability-service=osv"]
    if os.environ.get("OSV_URL"):
        options.append(f"--osv-url={os.environ['OSV_URL']}")
    options += [f"--ignore-vuln={name}" for name in ignored()]
    with tempfile.TemporaryDirectory() as folder:
        file, report = Path(folder, "requirements.txt"), Path(folder, "report.json")
        file.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        options += [f"--requirement={file}", "--format=json", f"--output={report}"]
        done = subprocess.run(["uvx", "--quiet", PIP_AUDIT, *options], capture_output=True, text=True)
        try:
            found = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
        except (OSError, ValueError, KeyError) as error:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise NotAuditedError(f"pip-audit wrote no report: {last}") from error
    if done.returncode not in (0, 1):
        raise NotAuditedError(f"pip-audit ended with {done.returncode}: {done.stderr.strip()}")
    return {(one["name"], one["version"]): [known["id"] for known in one["vulns"]] for one in found if "version" in one}


def main() -> int:
    """Audits the lock, prints what is known, and returns the exit code."""
    try:
        packages = locked()
        audited: dict[Package, list[str]] = {}
        for requirements in rounds(packages):
            audited |= audit(requirements)
        if not packages:
            raise NotAuditedError("the lock names no package.")
        if missing := packages.keys() - audited.keys():
            raise NotAuditedError(f"pip-audit left out {', '.join(sorted('=='.join(one) for one in missing))}.")
    except NotAuditedError as error:
        print(f"Not audited: {error}", file=sys.stderr)
        return 2
    for (name, version), known in sorted(audited.items()):
        for advisory in known:
            print(f"{name} {version}: {advisory}, see https://osv.dev/vulnerability/{advisory}")
    bad = sum(map(bool, audited.values()))
    print(f"{len(audited)} of {len(packages)} packages audited, {bad} with known vulnerabilities.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
