"""The image and the stack: what is in them, what they may do, and what happens when the database goes."""

from __future__ import annotations

import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from helpers import ROOT, Render, run
from stack import BASE_IMAGE, CANARY, UV, Stack, wait_for

pytestmark = pytest.mark.docker

MEGABYTES = 250
TOOLS = ("cc", "gcc", "g++", "make", "uv", "pip", "pip3", "git", "pytest", "ruff", "mypy", "locust")
MODULES = ("pip", "pytest", "sklearn", "skl2onnx", "onnx", "locust")
FILES = ("/root/.cache", "/app/.env", "/app/.git", "/app/pilot", "/app/secrets", "/app/tests", "/app/uv.lock")
FOUND = f"""
import importlib.util, pathlib, shutil
print(*[name for name in {TOOLS!r} if shutil.which(name)])
print(*[name for name in {MODULES!r} if importlib.util.find_spec(name)])
print(*[name for name in {FILES!r} if pathlib.Path(name).exists()])
"""


def unneeded(image: str) -> set[str]:
    """What the image holds and serving does not need, seen by root."""
    python = "/app/.venv/bin/python"
    return set(run("docker", "run", "--rm", "--user", "0", image, python, "-c", FOUND, cwd=ROOT).split())


def size(image: str) -> float:
    """In megabytes."""
    return float(json.loads(run("docker", "image", "inspect", image, cwd=ROOT))[0]["Size"]) / 1e6


def test_the_image_holds_what_serving_needs_and_no_more(image: str) -> None:
    assert unneeded(image) == set()
    added = size(image) - size(BASE_IMAGE)
    print(f"The image adds {added:.0f} MB to its base, of {size(BASE_IMAGE):.0f} MB.")
    assert added < MEGABYTES


def test_the_search_for_what_is_not_needed_finds_it_in_the_stage_that_trains(image: str, pilot_folder: Path) -> None:
    stage = f"{image}-train"
    run("docker", "build", "--target", "train", "--tag", stage, ".", cwd=pilot_folder, timeout=900)
    try:
        assert {"sklearn", "skl2onnx", "/app/pilot", "/app/uv.lock"} <= unneeded(stage)
    finally:
        run("docker", "image", "rm", stage, cwd=pilot_folder)


def layers_with(image: str, text: bytes) -> list[str]:
    """The files of the image, of all its layers, that hold the text."""
    found = []
    with (
        subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved,
        tarfile.open(fileobj=saved.stdout, mode="r|") as archive,
    ):
        for member in archive:
            content = archive.extractfile(member)
            if content is None or not member.name.endswith(".tar"):
                continue
            with tarfile.open(fileobj=content, mode="r|") as layer:
                for file in layer:
                    opened = layer.extractfile(file) if file.isfile() else None
                    if opened is not None and text in opened.read():
                        found.append(file.name)
    return found


def test_no_layer_holds_what_lay_about_in_the_build_folder(image: str, pilot_folder: Path) -> None:
    assert layers_with(image, CANARY.encode()) == []
    charter = (pilot_folder / "phases/1-scope/charter.md").read_bytes()
    assert layers_with(image, charter) == ["app/phases/1-scope/charter.md"]


@contextmanager
def container(image: str, *options: str) -> Iterator[str]:
    """The id of a container without any right, whose service has become healthy."""
    limits = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp")
    identity = run("docker", "run", "--detach", *limits, *options, image, cwd=ROOT).strip()
    health = ("docker", "inspect", "--format", "{{.State.Health.Status}}", identity)
    try:
        wait_for(lambda: run(*health, cwd=ROOT).strip() == "healthy", 60)
        yield identity
    finally:
        run("docker", "rm", "--force", "--volumes", identity, cwd=ROOT)


def inside(identity: str, script: str) -> str:
    """What a Python script prints in the container."""
    return run("docker", "exec", identity, "python", "-c", script, cwd=ROOT).strip()


READINESS = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000/readyz').read().decode())"


# The image's own user, and the owner of somebody's secrets, whom Compose runs.
@pytest.mark.parametrize(("user", "options"), [("10001:10001", ()), ("12345:10001", ("--user", "12345:10001"))])
def test_the_image_answers_as_built_without_any_right_or_network(
    user: str, options: tuple[str, ...], image: str
) -> None:
    with container(image, "--network", "none", *options) as identity:
        assert json.loads(inside(identity, READINESS)) == {"status": "ready", "model": "loaded"}
        assert inside(identity, "import os; print(os.getuid(), os.getgid(), sep=':')") == user
        assert run("docker", "diff", identity, cwd=ROOT) == ""


def test_the_image_of_a_pilot_that_buys_holds_no_model(render: Render, image: str, tmp_path: Path) -> None:
    folder = render(tmp_path / "bought", approach="buy")
    run(UV, "lock", "--quiet", cwd=folder)
    name = f"{image}-buy"
    run("docker", "build", "--build-arg", f"BASE_IMAGE={BASE_IMAGE}", "--tag", name, ".", cwd=folder, timeout=900)
    try:
        assert unneeded(name) == set()
        with container(name, "--network", "none") as identity:
            assert json.loads(inside(identity, READINESS)) == {"status": "ready", "model": "unavailable"}
            found = "from importlib.util import find_spec; print(*map(find_spec, ('onnxruntime', 'numpy')))"
            assert inside(identity, found) == "None None"
            assert inside(identity, "import os, pydantic_ai; print(os.listdir('/app/default-models'))") == "[]"
    finally:
        run("docker", "image", "rm", name, cwd=ROOT)


def test_compose_gives_the_service_nothing_that_it_does_not_need(stack: Stack) -> None:
    config = yaml.safe_load(stack.compose("config"))
    service, database = config["services"]["pilot"], config["services"]["postgres"]
    assert service["read_only"] is True
    assert service["cap_drop"] == database["cap_drop"] == ["ALL"]
    assert service["security_opt"] == database["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert [port["host_ip"] for port in service["ports"]] == ["127.0.0.1"]
    assert "ports" not in database
    assert config["networks"]["records"]["internal"] is True
    assert list(database["networks"]) == ["records"]
    for part in (service, database):
        assert {"mem_limit", "cpus", "pids_limit", "restart", "stop_grace_period"} <= set(part)
        assert set(part["logging"]["options"]) == {"max-file", "max-size"}
    secrets = {Path(secret["file"]).read_text(encoding="utf-8").strip() for secret in config["secrets"].values()}
    assert len(secrets) == 2
    assert not [secret for secret in secrets if secret in json.dumps(config)]
    running = stack.container("pilot")
    assert not [secret for secret in secrets if secret in json.dumps(running)]
    assert running["HostConfig"]["ReadonlyRootfs"] is True


def test_a_teams_own_compose_file_adds_the_secret_of_the_example(stack: Stack) -> None:
    example = [line[4:] for line in (stack.folder / "compose.yaml").read_text().splitlines() if line.startswith("#   ")]
    own = stack.folder / "compose.override.yaml"
    own.write_text("\n".join(example), encoding="utf-8")
    try:
        service = yaml.safe_load(stack.compose("config"))["services"]["pilot"]
    finally:
        own.unlink()
    assert [secret["source"] for secret in service["secrets"]] == ["database_password", "data_key", "llm_api_key"]
    assert service["environment"]["PILOT_LLM_API_KEY_FILE"] == "/run/secrets/llm_api_key"
    assert service["environment"]["PILOT_DATABASE_PASSWORD_FILE"] == "/run/secrets/database_password"


def predict(stack: Stack, key: str) -> tuple[int, dict[str, str]]:
    return stack.call("/v1/predictions", key, {"item": {"text": "My parcel has not arrived."}})


def test_a_record_outlives_a_restart_and_the_logs_hold_no_error(stack: Stack) -> None:
    key = stack.key()
    status, answer = predict(stack, key)
    assert status == 202
    stack.compose("stop")
    assert stack.container("pilot")["State"]["ExitCode"] == 0
    stack.compose("up", "--wait", "--wait-timeout", "120")
    status, found = stack.call(f"/v1/predictions/{answer['id']}", key)
    assert (status, found["id"]) == (200, answer["id"])
    assert {line["event"] for line in stack.log()} >= {"listening", "request"}
    assert [line for line in stack.log() if line["level"] not in ("info", "warning")] == []


def test_health_is_red_without_the_database_and_green_soon_after(stack: Stack) -> None:
    key = stack.key()
    assert stack.health() == "healthy"
    stack.compose("stop", "postgres")
    assert predict(stack, key)[0] == 503
    assert stack.call("/healthz")[0] == 200
    wait_for(lambda: stack.health() == "unhealthy", 60)
    stack.compose("start", "postgres")
    print(f"Healthy {wait_for(lambda: stack.health() == 'healthy', 60):.1f} s after the database was started.")
    assert predict(stack, key)[0] == 202
    assert [line for line in stack.log() if line["level"] == "warning"]
    assert [line for line in stack.log() if line["level"] not in ("info", "warning")] == []


HOG = """
open("/proc/1/oom_score_adj", "w").write("1000")
print("full", flush=True)
held = [bytearray(2**20) for _ in range(2048)]
"""


def test_a_service_that_is_killed_at_its_memory_limit_comes_back_with_every_record(stack: Stack) -> None:
    key = stack.key()
    before, begun = stack.container("pilot"), datetime.now(UTC)
    acknowledged = [predict(stack, key)[1]["id"] for _ in range(20)]
    killed = subprocess.run(
        ["docker", "exec", before["Id"], "python", "-c", HOG], capture_output=True, text=True, timeout=60
    )
    assert killed.returncode == 137, killed.stderr
    wait_for(lambda: stack.container("pilot")["RestartCount"] > before["RestartCount"], 30)
    print(f"Healthy {wait_for(lambda: stack.health() == 'healthy', 90):.1f} s after it was killed.")
    assert stack.container("pilot")["State"]["StartedAt"] > begun.isoformat()
    assert {stack.call(f"/v1/predictions/{identity}", key)[0] for identity in acknowledged} == {200}
    assert predict(stack, key)[0] == 202


def seconds_until_refused(stack: Stack, key: str) -> float:
    begun = time.monotonic()
    assert predict(stack, key)[0] == 503
    return time.monotonic() - begun


def test_without_a_way_to_the_database_it_refuses_at_once_and_then_goes_on(stack: Stack) -> None:
    """No packet arrives and the name is not known any longer, as behind a broken switch."""
    key = stack.key()
    assert predict(stack, key)[0] == 202
    [network] = [name for name in stack.container("pilot")["NetworkSettings"]["Networks"] if name.endswith("_records")]
    container = stack.container("pilot")["Id"]
    run("docker", "network", "disconnect", network, container, cwd=ROOT)
    try:
        took = [seconds_until_refused(stack, key) for _ in range(3)]
        print(f"Refused after {', '.join(f'{seconds:.1f} s' for seconds in took)}.")
        assert max(took) < 20
        assert stack.call("/healthz")[0] == 200
        assert stack.call("/readyz")[0] == 503
    finally:
        run("docker", "network", "connect", network, container, cwd=ROOT)
    print(f"Recorded again {wait_for(lambda: predict(stack, key)[0] == 202, 60):.1f} s after the way was there again.")


def test_a_database_that_moves_to_another_address_is_found_there(stack: Stack) -> None:
    """As after a failover: the name stays, and its address goes to another machine, which knows nothing of it."""
    key = stack.key()
    network = next(iter(stack.container("postgres")["NetworkSettings"]["Networks"]))

    def address(container: str) -> str:
        [found] = json.loads(run("docker", "inspect", container, cwd=ROOT))
        return str(found["NetworkSettings"]["Networks"][network]["IPAddress"])

    old = address(stack.container("postgres")["Id"])
    stack.compose("rm", "--stop", "--force", "postgres")
    others: list[str] = []
    try:
        while not others or address(others[-1]) != old:
            assert len(others) < 9
            sleeps = ("--detach", "--rm", "--network", network, BASE_IMAGE, "sleep", "300")
            others.append(run("docker", "run", *sleeps, cwd=ROOT).strip())
        assert predict(stack, key)[0] == 503
        stack.compose("up", "--wait", "--wait-timeout", "60", "--no-deps", "postgres")
        assert address(stack.container("postgres")["Id"]) != old
        print(f"Found {wait_for(lambda: predict(stack, key)[0] == 202, 60):.1f} s after it was there.")
    finally:
        run("docker", "rm", "--force", *others, cwd=ROOT)
