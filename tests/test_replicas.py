"""Pods as containers, with the user, rights, limits, settings and secrets that the manifests state, several of them
behind one PostgreSQL. No cluster is to be had here; what it adds, such as probes and policies, is not seen."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, run
from manifests import Manifest, build, named, pods
from stack import SET_MODE, Service, Stack, free_port, wait_for

pytestmark = [pytest.mark.docker, pytest.mark.kustomize]

# Settings of this network, where PostgreSQL has no certificate.
HERE = {"PILOT_DATABASE_URL": "postgresql://pilot@postgres:5432/pilot", "PILOT_PLAIN_HOSTS": "postgres"}
ROLLED_OUT = """
import sys
from pilot.records import rollout
from pilot.records.database import open_database, writing
from pilot.settings import load_settings

with writing(open_database(load_settings())) as connection:
    stage = rollout.read(connection)
    rollout.change(connection, rollout.Reach(float(sys.argv[1])), stage.version if stage else 0, "test")
"""


@pytest.fixture(scope="module")
def manifests(pilot_folder: Path) -> list[Manifest]:
    return build(pilot_folder / "ops/kubernetes/overlays/production")


@pytest.fixture(scope="module")
def images(image: str, pilot_folder: Path) -> Iterator[dict[str, str]]:
    """The images by the names that the manifests give them."""
    jobs = f"{image}-jobs"
    run("docker", "build", "--target", "jobs", "--tag", jobs, ".", cwd=pilot_folder, timeout=900)
    yield {"pilot": image, "pilot-jobs": jobs}
    run("docker", "image", "rm", "--force", jobs, cwd=ROOT)


class Cluster:
    """Makes of a pod's manifest what Docker runs."""

    def __init__(self, stack: Stack, manifests: list[Manifest], images: dict[str, str], secrets: Path) -> None:
        self.stack, self.images, self.secrets = stack, images, secrets
        self.project = dict(one.split("=", 1) for one in stack.environment)["COMPOSE_PROJECT_NAME"]
        self.pods = dict(pods(manifests))
        self.settings = {**named(manifests, "ConfigMap", "pilot-.*")["data"], **HERE}

    def options(self, name: str) -> list[str]:
        """What Docker is given to run the pod of this name: options, image, command."""
        pod = self.pods[name]["spec"]
        [container] = pod["containers"]
        rights, person = container["securityContext"], pod["securityContext"]
        assert rights["readOnlyRootFilesystem"]
        assert not rights["allowPrivilegeEscalation"]
        limits = container["resources"]["limits"]
        given = [f"--user={person['runAsUser']}:{person['runAsGroup']}", f"--group-add={person['fsGroup']}"]
        given += ["--read-only", "--security-opt=no-new-privileges"]
        given += [f"--cap-drop={name}" for name in rights["capabilities"]["drop"]]
        given += [f"--memory={limits['memory'].replace('Gi', 'g')}", f"--cpus={limits['cpu']}"]
        variables = {**self.settings, **{one["name"]: one["value"] for one in container["env"]}}
        given += [f"--env={name}={value}" for name, value in variables.items()]
        volumes = {one["name"]: one for one in pod["volumes"]}
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            if "secret" in volume:
                assert mount["readOnly"]
                given.append(f"--volume={self.secrets}:{mount['mountPath']}:ro")
            else:
                size = volume["emptyDir"]["sizeLimit"].replace("Mi", "m")
                owner = f"uid={person['runAsUser']},gid={person['fsGroup']},mode=770"
                given.append(f"--tmpfs={mount['mountPath']}:size={size},{owner}")
        return [
            *given,
            f"--network={self.project}_records",
            self.images[container["image"]],
            *container.get("args", []),
        ]

    def job(self, name: str) -> str:
        """What the job of this name prints, which must end well."""
        return run("docker", "run", "--rm", *self.options(name), cwd=ROOT)

    @contextmanager
    def pod(self) -> Iterator[Service]:
        """A pod of the service that is ready."""
        port = free_port()
        publish = ("--publish", f"127.0.0.1:{port}:8000")
        options = self.options("pilot")
        identity = run("docker", "create", *publish, *options, cwd=ROOT).strip()
        try:
            # The network of the records reaches nobody outside, so a port of this machine needs another one.
            run("docker", "network", "connect", f"{self.project}_front", identity, cwd=ROOT)
            run("docker", "start", identity, cwd=ROOT)
            pod = Service(f"http://127.0.0.1:{port}", ROOT, ("docker", "exec", identity, "pilot"))
            wait_for(pod.answers, 60)
            yield pod
        finally:
            run("docker", "rm", "--force", "--volumes", identity, cwd=ROOT)


@pytest.fixture(scope="module")
def cluster(
    stack: Stack, manifests: list[Manifest], images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Cluster:
    secrets = tmp_path_factory.mktemp("secrets")
    secrets.chmod(0o755)
    [volume] = [one["secret"] for one in dict(pods(manifests))["pilot"]["spec"]["volumes"] if "secret" in one]
    for name in ("database_password", "data_key"):
        file = secrets / name
        file.write_bytes((stack.folder / "secrets" / name).read_bytes())
        shutil.chown(file, 0, 10001)
        file.chmod(volume["defaultMode"])
    return Cluster(stack, manifests, images, secrets)


@pytest.fixture
def both(cluster: Cluster) -> Iterator[tuple[Service, Service]]:
    with cluster.pod() as one, cluster.pod() as other:
        yield one, other


def item(text: str, subject: str | None = None) -> dict[str, Any]:
    return {"item": {"text": text}, **({"subject": subject} if subject else {})}


def test_each_job_ends_well(cluster: Cluster, both: tuple[Service, Service]) -> None:
    key = both[0].pilot("keys", "create", "caller", "--name", "shop").strip()
    wait_for(lambda: both[1].call("/v1/predictions", key, item("Where is my parcel?"))[0] == 202, 30)
    assert "this version's schema" in cluster.job("pilot-migrate")
    assert cluster.job("pilot-purge") == ""
    cluster.settings["PILOT_RETENTION_DAYS"] = "183"
    assert "Erased: 0 items" in cluster.job("pilot-purge")
    assert "The audit trail holds" in cluster.job("pilot-audit")
    assert "not enough data" in cluster.job("pilot-drift").lower()


def test_the_image_of_the_service_has_no_statistics_so_drift_needs_its_own(
    cluster: Cluster, images: dict[str, str]
) -> None:
    options = [images["pilot"] if one == images["pilot-jobs"] else one for one in cluster.options("pilot-drift")]
    done = subprocess.run(["docker", "run", "--rm", *options], capture_output=True, text=True)
    assert "scipy, which is not installed" in done.stderr


def test_a_key_holds_at_each_pod_and_once_revoked_at_none(both: tuple[Service, Service]) -> None:
    one, other = both
    key = one.key()
    for pod in both:
        wait_for(lambda pod=pod: pod.call("/v1/predictions", key, item("Where is my parcel?"))[0] == 202, 30)  # type: ignore[misc]
    identity = key.split("_")[1]
    other.pilot("keys", "revoke", identity)
    seconds = [
        wait_for(lambda pod=pod: pod.call("/v1/predictions", key, item("Where is it?"))[0] == 401, 30)  # type: ignore[misc]
        for pod in both
    ]
    print(f"Revoked keys were refused after {max(seconds):.1f} s.")


def test_one_item_that_is_sent_to_both_at_once_is_recorded_once(both: tuple[Service, Service]) -> None:
    key = both[0].key()
    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            body = {**item(f"Parcel {number} has not arrived."), "source_id": f"twice-{number}"}
            sent = [threads.submit(both[turn % 2].call, "/v1/predictions", key, body) for turn in range(8)]
            answers = [one.result() for one in sent]
            assert {status for status, _ in answers} <= {200, 202}
            assert len({answer["id"] for _, answer in answers}) == 1


def test_both_obey_the_rollout_and_keep_each_subject_on_its_side(both: tuple[Service, Service]) -> None:
    key = both[0].key()

    def do(script: str, argument: str) -> None:
        run(*both[0].command[:-1], "python", "-c", script, argument, cwd=ROOT)

    def shown(pod: Service, subject: str) -> bool:
        status, answer = pod.call("/v1/predictions", key, item(f"I am {subject}.", subject))
        assert status in (200, 202), answer
        return answer["prediction"] is not None

    do(SET_MODE, "assist")
    do(ROLLED_OUT, "0.5")

    def alike() -> bool:
        one, other = ([shown(pod, f"early-{n}") for n in range(12)] for pod in both)
        return one == other and 0 < sum(one) < 12

    wait_for(alike, 30)
    sides = [(shown(both[0], f"user-{n}"), shown(both[1], f"user-{n}")) for n in range(60)]
    assert [one for one, _ in sides] == [other for _, other in sides]
    assert 15 < sum(one for one, _ in sides) < 45
    do(ROLLED_OUT, "0")
    seconds = wait_for(lambda: not any(shown(pod, f"late-{n}") for pod in both for n in range(12)), 30)
    print(f"Taken back at both after {seconds:.1f} s.")


def test_what_a_killed_pod_left_is_answered_by_another_and_the_trail_holds(cluster: Cluster) -> None:
    with cluster.pod() as stays:
        key = stays.key()
        acknowledged = []
        with cluster.pod() as dies:
            wait_for(lambda: dies.call("/v1/predictions", key, item("Are you there?"))[0] == 202, 30)
            with ThreadPoolExecutor(8) as threads, suppress(OSError):
                sent = [threads.submit(dies.call, "/v1/predictions", key, item(f"Left {n}")) for n in range(200)]
                while sum(one.done() for one in sent) < 20:
                    time.sleep(0.01)
                run("docker", "kill", dies.command[2], cwd=ROOT)
            for one in sent:
                with suppress(OSError, json.JSONDecodeError):
                    status, answer = one.result()
                    if status == 202:
                        acknowledged.append(answer["id"])
        assert acknowledged
        ids = ",".join(f"'{identity}'" for identity in acknowledged)
        query = f"SELECT count(DISTINCT item_id) FROM answers WHERE role = 'primary' AND item_id IN ({ids})"
        ask = ("exec", "-T", "postgres", "psql", "--username=pilot", "--tuples-only", "--command", query)
        seconds = wait_for(lambda: int(cluster.stack.compose(*ask)) == len(acknowledged), 120)
        print(f"{len(acknowledged)} were acknowledged before the kill, and answered {seconds:.0f} s after it.")
    assert "The audit trail holds" in cluster.job("pilot-audit")
