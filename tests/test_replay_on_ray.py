"""A replay on a Ray cluster of this machine leaves the files that one process leaves."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import pytest
from helpers import FULL, run
from stack import SHELL, UV

RAY = "ray[client]==2.60.0"
ROWS = 5500
# Ray listens on every interface, so the cluster and the replay get a network of their own, which has only a loopback.
ALONE = ("unshare", "--map-root-user", "--net", "--pid", "--mount-proc", "--fork", "--kill-child", "bash", "-euc")
ON_RAY = """
ip link set lo up
export RAY_AUTH_MODE=disabled RAY_ENABLE_UV_RUN_RUNTIME_ENV=0
uv run --offline --with "$RAY" ray start --head --ray-client-server-port=10001 --include-dashboard=false --num-cpus=2 \\
  --disable-usage-stats --temp-dir="$PLACE" --block >"$PLACE/log" 2>&1 &
for _ in {1..90}; do ! (exec 3<>/dev/tcp/127.0.0.1/10001) 2>/dev/null || break; sleep 1; done
uv run --offline --with "$RAY" "$@" --on ray://127.0.0.1:10001
"""
with_ray = pytest.mark.skipif(not FULL, reason="nightly: a cluster takes a minute to start")


@pytest.fixture(scope="module")
def version(pilot_folder: Path) -> str:
    """A trained version of the pilot, and beside it a file of history."""
    run(UV, "run", "pilot", "model", "train", cwd=pilot_folder)
    with (pilot_folder / "data/examples.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with (pilot_folder / "var/history.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows({**rows[n % len(rows)], "text": f"{rows[n % len(rows)]['text']} {n}"} for n in range(ROWS))
    [found] = [one.name for one in (pilot_folder / "var/models").iterdir() if one.is_dir()]
    return found


def replay(version: str, out: str, *words: str) -> tuple[str, ...]:
    history = ("var/history.csv", "--model", version, "--input", "text", "--final", "label", "--out", out)
    return ("pilot", "replay", *history, *words)


@with_ray
def test_one_process_two_and_a_cluster_leave_the_same_files(
    pilot_folder: Path, version: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run(UV, "run", *replay(version, "var/one"), cwd=pilot_folder)
    two = run(UV, "run", *replay(version, "var/two", "--workers", "2"), cwd=pilot_folder)
    run(UV, "run", "--with", RAY, "true", cwd=pilot_folder)

    def on_ray() -> str:
        given = (*SHELL, f"RAY={RAY}", f"PLACE={tmp_path_factory.mktemp('r')}")
        words = replay(version, "var/ray", "--workers", "2")
        return run("env", *given, *ALONE, ON_RAY, "ray", *words, cwd=pilot_folder)

    said = on_ray()
    assert f"{ROWS} items, 0 of them failed" in said
    assert said == two.replace("var/two", "var/ray")
    folders = [pilot_folder / "var" / name for name in ("one", "two", "ray")]
    one, second, third = ({file.name: file.read_bytes() for file in folder.glob("*.jsonl")} for folder in folders)
    assert len(one) == 6
    assert one == second == third
    # Broken off, it goes on.
    lost = folders[2] / sorted(third)[3]
    lost.unlink()
    assert on_ray() == said
    assert lost.read_bytes() == third[lost.name]


def test_without_ray_it_tells_how_to_have_it(pilot_folder: Path, version: str) -> None:
    command = [UV, "run", *replay(version, "var/none", "--on", "ray://127.0.0.1:1")]
    done = subprocess.run(command, cwd=pilot_folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'uv run --with "ray[client]" pilot replay' in done.stderr
    assert "Traceback" not in done.stderr
