"""`packaging/kubernetes/repligo.yaml`: judged by Kubernetes' own schema, and started as its kubelet would."""

import os
import subprocess
import sys

import pytest
import yaml

from distribution.life import check_life_of_a_cluster
from distribution.pods import USER, Network
from support.namespaces import needs_namespaces
from support.nodes import binary
from support.processes import ROOT

MANIFEST = ROOT / "packaging/kubernetes/repligo.yaml"
# The oldest and the newest that the validator should know as long as this page names them.
VERSIONS = ("1.28", "1.34")


@pytest.fixture(scope="module")
def resources():
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(MANIFEST.read_text())}


@pytest.fixture(scope="module")
def pod(resources):
    return resources["StatefulSet", "repligo"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schema_of_kubernetes_accepts_it(version):
    argv = [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, str(MANIFEST)]
    completed = subprocess.run(argv, capture_output=True, text=True, timeout=50)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_nodes_can_find_each_other_before_they_are_ready(resources, pod):
    stateful_set = resources["StatefulSet", "repligo"]["spec"]
    nodes = resources["Service", "repligo-nodes"]["spec"]
    assert stateful_set["podManagementPolicy"] == "Parallel"
    assert stateful_set["serviceName"] == "repligo-nodes"
    assert nodes["publishNotReadyAddresses"] is True and nodes["clusterIP"] == "None"
    line = next(word for word in pod["containers"][0]["args"] if word.startswith("--cluster="))
    members = line.removeprefix("--cluster=").split(",")
    wanted = [f"repligo-{n}=repligo-{n}.repligo-nodes:16379" for n in range(stateful_set["replicas"])]
    assert members == wanted


def test_selectors_probes_and_budget_fit_the_pods(resources, pod):
    stateful_set = resources["StatefulSet", "repligo"]["spec"]
    labels = stateful_set["template"]["metadata"]["labels"]
    budget = resources["PodDisruptionBudget", "repligo"]["spec"]
    selectors = [
        stateful_set["selector"]["matchLabels"],
        budget["selector"]["matchLabels"],
        resources["Service", "repligo"]["spec"]["selector"],
        resources["Service", "repligo-nodes"]["spec"]["selector"],
        resources["NetworkPolicy", "repligo"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selectors)
    assert stateful_set["replicas"] - budget["maxUnavailable"] > stateful_set["replicas"] // 2
    container = pod["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"resp": 6379, "peer": 16379, "admin": 7379}
    paths = {kind: container[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    # A node without a majority is not ready, and restarting it helps nobody.
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert container["securityContext"]["readOnlyRootFilesystem"] and pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == USER and not pod["enableServiceLinks"]


@needs_namespaces
@pytest.mark.timeout(180)
def test_the_pods_form_a_cluster_and_may_move(resources, pod):
    container = pod["containers"][0]
    password = resources["Secret", "repligo"]["stringData"]["password"]
    admin = next(port["containerPort"] for port in container["ports"] if port["name"] == "admin")

    def start(machine, **more):
        variables = {"POD_NAME": machine.name}
        arguments = [word.replace("$(POD_NAME)", machine.name) for word in container["args"]]
        arguments = [word.replace(mount["mountPath"], str(machine.network.shared)) for word in arguments]
        assert not any("$(" in word for word in arguments)
        machine.start(arguments, REPLIGO_REQUIREPASS=password, **variables, **more)

    def probe(machine, kind):
        return machine.get(admin, container[kind]["httpGet"]["path"]) == 200

    (volume,) = pod["volumes"]
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == volume["name"])
    assert volume["secret"]["defaultMode"] == 0o440

    with Network() as network:
        # As a kubelet mounts a secret: root's, and readable by the group that fsGroup names.
        secret = network.shared / "cluster.secret"
        subprocess.run([binary(), "secret", "new", secret], check=True, timeout=20)
        os.chown(secret, 0, USER)
        secret.chmod(volume["secret"]["defaultMode"])
        # fsGroup leaves the root of a volume to root and the group.
        machines = [network.machine(f"repligo-{number}", 0o2775) for number in range(3)]
        names = {f"{machine.name}.repligo-nodes": machine for machine in machines}
        check_life_of_a_cluster(
            network,
            machines,
            start,
            password,
            names,
            is_ready=lambda machine: probe(machine, "readinessProbe"),
            is_alive=lambda machine: probe(machine, "livenessProbe") and probe(machine, "startupProbe"),
        )
