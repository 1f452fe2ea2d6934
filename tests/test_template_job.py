"""The weekly job: it hears of a newer template, updates a checkout, says what is new, and lets no conflict through.

Not run here: the pull request that the workflow then opens, which is GitHub's step, and the merge request that GitLab
makes of a push. The checkers of workflows read the one; the other goes to a repository that keeps what it is told.
"""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from copier import run_copy
from helpers import commit, git, run
from jobs import github, gitlab, outcome
from stack import free_port
from test_pilots import ENVIRONMENT, UV

LINE = "Nothing is restarted: every running service obeys within seconds."
BETTER = "Every running service obeys within seconds."
# What GitLab tells a job, but for where its repository is.
JOB = {
    "CI_DEFAULT_BRANCH": "main",
    "CI_JOB_URL": "https://gitlab.example.org/team/pilot/-/jobs/7",
    "CI_PROJECT_PATH": "team/pilot",
    "CI_SERVER_HOST": "gitlab.example.org",
    "GIT_TERMINAL_PROMPT": "0",
}
WRITES_DOWN = """#!/bin/sh
for number in $(seq 0 $((GIT_PUSH_OPTION_COUNT - 1))); do eval "echo \\"\\$GIT_PUSH_OPTION_$number\\""; done >told
"""


def begin(template: Path, folder: Path, ci: str = "github") -> Path:
    run_copy(str(template), folder, {"ci": ci}, defaults=True, quiet=True, unsafe=False)
    commit(folder, "Begin the pilot")
    return folder


def lock(pilot: Path) -> Path:
    run(UV, "lock", "--quiet", cwd=pilot, timeout=300, **ENVIRONMENT)
    commit(pilot, "Lock the dependencies")
    return pilot


@pytest.fixture
def pilot(changing_template: Path, tmp_path: Path) -> Path:
    return begin(changing_template, tmp_path / "pilot")


def release(template: Path, text: str = BETTER) -> None:
    """The next version of the template: another line in a page of the runbook, and another script of the job, which
    ends with 9 where the running one reads on in it."""
    page, script = (template / "template" / path for path in ("runbook/switch-off.md", "ci/template.sh"))
    for file, was, now in (
        (page, LINE, text),
        (script, "#!/usr/bin/env bash\n", "#!/usr/bin/env bash\n" + "exit 9\n" * 999),
    ):
        before = file.read_text(encoding="utf-8")
        assert was in before
        file.write_text(before.replace(was, now), encoding="utf-8")
    commit(template, "Say it better", tag="v0.2.0")


def commands(pilot: Path) -> tuple[str, str]:
    check, update = github(pilot)["template"].commands
    return check, update


def test_a_current_pilot_is_left_alone(pilot: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    assert outcome(commands(pilot)[:1], pilot, GITHUB_OUTPUT=str(output)).returncode == 0
    assert output.read_text() == "newer=false\n"
    # Without the workflow's word around it.
    assert outcome(("bash ci/template.sh check",), pilot).returncode == 0


def test_a_newer_template_is_heard_of_and_brought(changing_template: Path, pilot: Path, tmp_path: Path) -> None:
    lock(pilot)
    release(changing_template)
    check, update = commands(pilot)
    output = tmp_path / "output"
    assert outcome(("bash ci/template.sh check",), pilot).returncode == 2
    assert outcome((check,), pilot, GITHUB_OUTPUT=str(output)).returncode == 0
    assert output.read_text() == "newer=true\n"
    done = outcome((update,), pilot)
    assert done.returncode == 0, done.stdout + done.stderr
    changed = set(git("diff", "--cached", "--name-only", cwd=pilot).split())
    assert changed == {".copier-answers.yml", "ci/template.sh", "runbook/switch-off.md"}
    said = (pilot / "var/template.md").read_text(encoding="utf-8")
    assert "This pilot has v0.1.0; the newest is v0.2.0" in said
    assert "\n## 0.2.0 (" in said
    assert "\n## 0.1.0 (" not in said


def test_a_conflict_ends_the_job(changing_template: Path, pilot: Path) -> None:
    page = pilot / "runbook/switch-off.md"
    page.write_text(page.read_text(encoding="utf-8").replace(LINE, "Our own words."), encoding="utf-8")
    lock(pilot)
    release(changing_template)
    done = outcome(commands(pilot), pilot)
    assert done.returncode == 1
    assert "Conflict marks." in done.stdout
    assert "runbook/switch-off.md" in done.stdout


def test_a_template_out_of_reach_is_red_and_not_current(changing_template: Path, pilot: Path, tmp_path: Path) -> None:
    changing_template.rename(tmp_path / "elsewhere")
    assert outcome(commands(pilot)[:1], pilot).returncode not in (0, 2)


def test_without_copier_nobody_knows_and_nothing_is_offered(pilot: Path, tmp_path: Path) -> None:
    nowhere = {"UV_DEFAULT_INDEX": f"http://127.0.0.1:{free_port()}/simple", "UV_CACHE_DIR": str(tmp_path / "cache")}
    done = outcome(("bash ci/template.sh check",), pilot, **nowhere)
    assert done.returncode == 1
    assert "newer=" not in done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project on a GitLab that writes down what a push tells it."""
    folder = tmp_path / "server/team/pilot.git"
    git("init", "--quiet", "--bare", folder, cwd=tmp_path)
    git("config", "receive.advertisePushOptions", "true", cwd=folder)
    (folder / "hooks/pre-receive").write_text(WRITES_DOWN, encoding="utf-8")
    (folder / "hooks/pre-receive").chmod(0o755)
    return folder


def test_gitlab_gets_a_branch_and_is_told_to_make_a_merge_request_of_it(
    changing_template: Path, project: Path, tmp_path: Path
) -> None:
    pilot = lock(begin(changing_template, tmp_path / "pilot", "gitlab"))
    job = gitlab(pilot)["template"].commands
    environment = {**JOB, "CI_SERVER_URL": f"file://{tmp_path}/server", "TEMPLATE_TOKEN": "secret-of-the-test"}
    assert outcome(job, pilot, **environment).returncode == 0
    assert git("branch", cwd=project) == ""
    release(changing_template)
    assert outcome(job, pilot, **JOB).returncode == 2
    assert git("status", "--porcelain", cwd=pilot) == ""
    done = outcome(job, pilot, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n## 0.2.0 (" in done.stdout
    # The day after, somebody has worked on what was offered.
    commit(pilot, "Do what the changelog asks for")
    git("push", "--quiet", project, "pilot-template", cwd=pilot)
    offered = git("rev-parse", "pilot-template", cwd=project)
    git("switch", "--quiet", "main", cwd=pilot)
    assert "offered already" in outcome(job, pilot, **environment).stdout
    assert git("rev-parse", "pilot-template", cwd=project) == offered
    # A newer version replaces it.
    git("reset", "--quiet", "--hard", cwd=pilot)
    commit(changing_template, "Once more", tag="v0.2.1")
    assert outcome(job, pilot, **environment).returncode == 0
    assert git("rev-parse", "pilot-template", cwd=project) != offered
    assert (project / "told").read_text(encoding="utf-8").splitlines() == [
        "merge_request.create",
        "merge_request.target=main",
        "merge_request.title=Update the template",
        f"merge_request.description=What is new, and what there is to do: {JOB['CI_JOB_URL']}",
        "merge_request.remove_source_branch",
    ]
    assert BETTER in git("show", "pilot-template:runbook/switch-off.md", cwd=project)
    assert git("log", "--format=%s", "main..pilot-template", cwd=pilot) == "Update the template\n"


def test_the_token_goes_to_gitlab_and_nowhere_else(changing_template: Path, tmp_path: Path) -> None:
    asked: list[str | None] = []

    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="GitLab"')
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    pilot = lock(begin(changing_template, tmp_path / "pilot", "gitlab"))
    release(changing_template)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {**JOB, "CI_SERVER_URL": f"http://127.0.0.1:{server.server_port}"}
        done = outcome(gitlab(pilot)["template"].commands, pilot, **environment, TEMPLATE_TOKEN="secret-of-the-test")
        server.shutdown()
    basic = "Basic " + base64.b64encode(b"template:secret-of-the-test").decode()
    assert asked == [None, basic] * 2  # of the fetch and of the push
    assert done.returncode not in (0, 2)
    assert "secret-of-the-test" not in done.stdout + done.stderr


def test_the_pull_request_is_opened_only_for_a_newer_template(pilot: Path) -> None:
    workflow = yaml.safe_load((pilot / ".github/workflows/pilot-template.yml").read_text(encoding="utf-8"))
    assert workflow[True]["schedule"], "nobody looks by himself"
    *_, check, update, opens = workflow["jobs"]["template"]["steps"]
    assert check["id"] == "check"
    assert update["if"] == opens["if"] == "steps.check.outputs.newer == 'true'"
    assert opens["uses"].startswith("peter-evans/create-pull-request@")
    assert opens["with"]["body-path"] == "var/template.md"
