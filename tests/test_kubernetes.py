"""The manifests: legal in three versions of Kubernetes, safe by a checker's rules, and of one mind with the pilot. Each
check is seen to find a planted defect."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, Render
from manifests import OVERLAYS, VERSIONS, Manifest, build, named, pods, policy_errors, rendered, schema_errors
from pilot.cli import app
from pilot.settings import SECRETS, Settings
from typer.main import get_command

pytestmark = pytest.mark.kustomize

LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
# Volumes that "restricted" allows, of which these are needed.
VOLUMES = {"emptyDir", "secret"}


@pytest.fixture(scope="module")
def production(render: Render, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return rendered(render, tmp_path_factory.mktemp("kubernetes") / "pilot")


@pytest.fixture
def changed(production: list[Manifest]) -> list[Manifest]:
    """A copy that the test may spoil."""
    return copy.deepcopy(production)


@pytest.mark.parametrize(("bought", "overlay"), [(False, "production"), (True, "staging")])
def test_the_manifests_hold_to_the_strict_schemas_of_three_versions(
    bought: bool, overlay: str, render: Render, tmp_path: Path
) -> None:
    manifests = rendered(render, tmp_path / "pilot", overlay, bought=bought)
    assert {one["metadata"].get("namespace", f"ticket-triage-{overlay}") for one in manifests} == {
        f"ticket-triage-{overlay}"
    }
    for version in VERSIONS:
        assert schema_errors(manifests, version, tmp_path) == []


def _misspelt(manifests: list[Manifest]) -> None:
    named(manifests, "Deployment")["spec"]["template"]["spec"]["securityContex"] = {}


def _unknown(manifests: list[Manifest]) -> None:
    named(manifests, "PodDisruptionBudget")["kind"] = "PodDisruptionBudgets"


def _of_yesterday(manifests: list[Manifest]) -> None:
    named(manifests, "HorizontalPodAutoscaler")["apiVersion"] = "autoscaling/v2beta2"


def _wrong_type(manifests: list[Manifest]) -> None:
    named(manifests, "CronJob", "pilot-drift")["spec"]["startingDeadlineSeconds"] = "an hour"


@pytest.mark.parametrize("spoil", [_misspelt, _unknown, _of_yesterday, _wrong_type])
def test_the_schemas_find_a_planted_defect(
    spoil: Callable[[list[Manifest]], None], changed: list[Manifest], tmp_path: Path
) -> None:
    spoil(changed)
    assert schema_errors(changed, VERSIONS[-1], tmp_path)


# The policy, and the defect that breaks it: where in the pod or its container, and what stands there then.
DEFECTS: dict[str, tuple[str, Any]] = {
    "CKV_K8S_16": ("container.securityContext.privileged", True),
    "CKV_K8S_20": ("container.securityContext.allowPrivilegeEscalation", True),
    "CKV_K8S_22": ("container.securityContext.readOnlyRootFilesystem", False),
    "CKV_K8S_37": ("container.securityContext.capabilities", {"add": ["NET_ADMIN"]}),
    "CKV_K8S_23": ("pod.securityContext", {"fsGroup": 10001}),
    "CKV_K8S_40": ("pod.securityContext.runAsUser", 0),
    "CKV_K8S_31": ("pod.securityContext.seccompProfile", {"type": "Unconfined"}),
    "CKV_K8S_38": ("pod.automountServiceAccountToken", True),
    "CKV_K8S_17": ("pod.hostPID", True),
    "CKV_K8S_19": ("pod.hostNetwork", True),
    "CKV_K8S_8": ("container.livenessProbe", None),
    "CKV_K8S_9": ("container.readinessProbe", None),
    "CKV_K8S_11": ("container.resources.limits.cpu", None),
    "CKV_K8S_12": ("container.resources.requests.memory", None),
    "CKV_K8S_13": ("container.resources.limits.memory", None),
    "CKV_K8S_10": ("container.resources.requests.cpu", None),
    "CKV_K8S_14": ("container.image", "registry.example.org/triage:latest"),
    "CKV_K8S_43": ("container.image", "registry.example.org/triage:v1"),
    "CKV_K8S_35": (
        "container.env",
        [{"name": "PILOT_DATA_KEY", "valueFrom": {"secretKeyRef": {"name": "pilot", "key": "data_key"}}}],
    ),
}


def _spoilt(manifests: list[Manifest], place: str, value: Any) -> list[Manifest]:
    whole = copy.deepcopy(manifests)
    pod = named(whole, "Deployment")["spec"]["template"]["spec"]
    top, *path, last = place.split(".")
    part = pod if top == "pod" else pod["containers"][0]
    for name in path:
        part = part[name]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return whole


def test_no_policy_is_broken_and_each_is_seen_to_find_a_planted_defect(
    production: list[Manifest], render: Render, tmp_path: Path
) -> None:
    folder = tmp_path / "sets"
    folder.mkdir()
    bought = rendered(render, tmp_path / "pilot", "staging", bought=True)
    spoilt = {policy: _spoilt(production, place, value) for policy, (place, value) in DEFECTS.items()}
    found = policy_errors({"good": production, "bought": bought, **spoilt}, folder)
    assert found.pop("good") == found.pop("bought") == set()
    assert {policy for policy, broken in found.items() if policy not in broken} == set()


def test_a_pod_that_no_policy_of_the_network_selects_is_found(production: list[Manifest], tmp_path: Path) -> None:
    """In a run of its own: the checker looks at all files of a folder together."""
    open_to_all = [one for one in production if one["kind"] != "NetworkPolicy"]
    assert policy_errors({"open": open_to_all}, tmp_path) == {"open": {"CKV2_K8S_6"}}


def test_the_pods_of_jobs_have_the_rights_limits_and_secrets_of_the_service(production: list[Manifest]) -> None:
    of = {name: template["spec"] for name, template in pods(production)}
    assert set(of) == {"pilot", "pilot-migrate", "pilot-purge", "pilot-audit", "pilot-drift"}
    service = of.pop("pilot")
    for name, pod in of.items():
        assert pod["restartPolicy"] == "Never", name
        for part in ("serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "volumes"):
            assert pod[part] == service[part], (name, part)
        assert pod["securityContext"] == service["securityContext"], name
        [container], [serving] = pod["containers"], service["containers"]
        for part in ("env", "envFrom", "resources", "securityContext", "volumeMounts"):
            assert container[part] == serving[part], (name, part)


def test_restricted_is_asked_of_the_cluster_and_kept(production: list[Manifest]) -> None:
    labels = named(production, "Namespace", ".*")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, template in pods(production):
        for volume in template["spec"]["volumes"]:
            assert set(volume) - {"name"} <= VOLUMES, name
        # A writable folder that is not bounded fills the node.
        for volume in template["spec"]["volumes"]:
            assert "secret" in volume or volume["emptyDir"]["sizeLimit"], name


def test_what_selects_pods_finds_them(production: list[Manifest]) -> None:
    of = {name: template["metadata"]["labels"] for name, template in pods(production)}

    def chosen(selector: dict[str, Any]) -> set[str]:
        wanted = selector.get("matchLabels", selector)
        return {name for name, labels in of.items() if wanted.items() <= labels.items()}

    deployment = named(production, "Deployment")
    for selector in (
        deployment["spec"]["selector"],
        named(production, "Service")["spec"]["selector"],
        named(production, "PodDisruptionBudget")["spec"]["selector"],
        named(production, "NetworkPolicy")["spec"]["podSelector"],
        deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"],
    ):
        assert chosen(selector) == {"pilot"}
    for name in ("deny-all", "records"):
        assert chosen(named(production, "NetworkPolicy", name)["spec"]["podSelector"]) == set(of)
    target = named(production, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    # The autoscaler's number would be put back by each deployment.
    assert "replicas" not in deployment["spec"]


def test_only_what_is_named_comes_in_or_goes_out(render: Render, production: list[Manifest], tmp_path: Path) -> None:
    denied = named(production, "NetworkPolicy", "deny-all")["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    bought = rendered(render, tmp_path / "pilot", bought=True)
    for manifests, out in ((production, [53, 53, 5432]), (bought, [53, 53, 443, 5432])):
        policies = [one["spec"] for one in manifests if one["kind"] == "NetworkPolicy"]
        rules = [rule for policy in policies for rule in policy.get("egress", [])]
        assert sorted(port["port"] for rule in rules for port in rule["ports"]) == out
        assert all("to" in rule for rule in rules if {"port": 443} not in rule["ports"])
        coming = [rule for policy in policies for rule in policy.get("ingress", [])]
        assert sorted(port["port"] for rule in coming for port in rule["ports"]) == ["http", "metrics"]
        assert all(rule["from"] for rule in coming)


def test_each_variable_is_a_setting_and_each_secret_is_in_the_docs(render: Render, tmp_path: Path) -> None:
    manifests = rendered(render, tmp_path / "pilot", bought=True)
    known = {f"PILOT_{name.upper()}" for name in Settings.model_fields} | {
        f"PILOT_{name.upper()}_FILE" for name in SECRETS
    }
    assert set(named(manifests, "ConfigMap", "pilot-.*")["data"]) <= known
    page = (ROOT / "docs/how-to/kubernetes.md").read_text(encoding="utf-8")
    [container] = named(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        assert variable["name"] in known
        folder, _, name = variable["value"].rpartition("/")
        assert folder == container["volumeMounts"][0]["mountPath"]
        assert f"{name}=secrets/{name}" in page or f"`{name}` is the third file" in page
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    data = named(manifests, "ConfigMap", "pilot-.*")["data"]
    assert ports == {"http": Settings.model_fields["port"].default, "metrics": int(data["PILOT_METRICS_PORT"])}


def test_the_commands_of_jobs_are_verbs(production: list[Manifest]) -> None:
    for name, template in pods(production):
        for container in template["spec"]["containers"]:
            line = " ".join(container.get("args", ["pilot", "serve"]))
            [words] = [found.split() for found in re.findall(r"pilot ([a-z]+(?: [a-z]+)*)", line)]
            command: Any = get_command(app)
            for word in words:
                command = command.commands[word]
            assert command.name == words[-1], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_names_are_legal_and_hold_no_answer(overlay: str, render: Render, tmp_path: Path) -> None:
    """So they are for every answer: what a pilot is called, a team's own kustomization says."""
    folder = render(tmp_path / "pilot", wrapper=False)
    manifests = build(folder / "ops/kubernetes/overlays" / overlay)
    [namespace] = [one["metadata"]["name"] for one in manifests if one["kind"] == "Namespace"]
    assert namespace == f"pilot-{overlay}"
    assert {one["metadata"].get("namespace", namespace) for one in manifests} == {namespace}
    for one in manifests:
        assert LABEL.fullmatch(one["metadata"]["name"])
        # Kubernetes adds eleven characters to the name of a scheduled job.
        assert one["kind"] != "CronJob" or len(one["metadata"]["name"]) <= 52
