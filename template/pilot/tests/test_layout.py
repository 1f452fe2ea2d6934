"""The order of the packages: what each may import, and that a pilot is served without the libraries of evaluation."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from example_papers import write

from pilot.cli import common
from pilot.contract import PilotError

SOURCE = Path(__file__).parents[1] / "src" / "pilot"
# A package imports those of earlier rows, and itself.
ORDER = (
    ("contract", "fields", "settings", "metrics", "frontmatter", "charter"),
    ("records",),
    ("models",),
    ("serving", "workbench"),
    ("operations",),
    ("testing",),
    ("cli",),
)
ROW = {package: row for row, packages in enumerate(ORDER) for package in packages}


def imports() -> Iterator[tuple[str, str]]:
    """Each module and each package that it imports, also within functions and for type checks."""
    for file in sorted(SOURCE.rglob("*.py")):
        module = file.relative_to(SOURCE).with_suffix("").as_posix()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and node.module == "pilot":
                names = [f"pilot.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if name.startswith("pilot."):
                    yield module, name.split(".")[1]


def test_packages_import_in_one_direction() -> None:
    against = {
        (module, package)
        for module, package in imports()
        if module != "__init__" and module.split("/")[0] != package and ROW[package] >= ROW[module.split("/")[0]] > 0
    }
    assert not against


def test_the_ground_floor_imports_no_package() -> None:
    assert not {(module, package) for module, package in imports() if module in ORDER[0] and package not in ORDER[0]}


@pytest.mark.parametrize(
    ("modules", "blocked"),
    [
        # `pilot mode` looks at gate 1 in the image that serves.
        (
            "pilot.cli, pilot.serving.app, pilot.workbench.gates, pilot.workbench.decision, pilot.operations.explain",
            ("numpy", "scipy", "statsmodels", "matplotlib", "sklearn"),
        ),
        # Documents are checked often, and scipy takes seconds to import.
        ("pilot.workbench.documents.files", ("scipy", "statsmodels", "matplotlib", "sklearn")),
    ],
)
def test_what_is_served_and_what_checks_documents_need_no_statistics(modules: str, blocked: tuple[str, ...]) -> None:
    program = "\n".join(["import sys", *(f"sys.modules[{name!r}] = None" for name in blocked), f"import {modules}"])
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert found.stderr == ""
    assert found.returncode == 0


def test_a_library_that_is_not_installed_is_an_error_with_its_fix() -> None:
    with pytest.raises(PilotError, match=r"needs scipy, .*`uv sync`.*extra evaluation"), common.as_user_errors():
        raise ModuleNotFoundError("No module named 'scipy.stats'", name="scipy.stats")
    with pytest.raises(ModuleNotFoundError), common.as_user_errors():
        raise ModuleNotFoundError("No module named 'team'", name="team")


def test_the_status_of_a_pilot_is_shown_where_it_is_served_without_those_libraries(tmp_path: Path) -> None:
    """`pilot status` runs in the container, where the runbook asks for it."""
    write(tmp_path)
    program = "\n".join(
        [
            "import sys",
            *(f"sys.modules[{name!r}] = None" for name in ("scipy", "statsmodels", "matplotlib")),
            "from pilot.cli import main",
            "sys.argv = ['pilot', 'status']",
            "main()",
        ]
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "phase 3 decide" in found.stdout
