"""`packaging/docker`: the Dockerfile is read by a parser, the Compose file judged by the schema of its
specification, and what both say is started without a daemon.
"""

import json
import subprocess
import sys

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from distribution.life import check_life_of_a_cluster
from distribution.pods import USER, Network
from support.namespaces import needs_namespaces
from support.processes import ROOT, run_tool

FOLDER = ROOT / "packaging/docker"
COMPOSE = FOLDER / "compose.yaml"
PASSWORD = "a-long-password"


@pytest.fixture(scope="module")
def steps():
    parser = DockerfileParser(str(FOLDER / "Dockerfile"))
    return [(step["instruction"], step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load(COMPOSE.read_text())["services"]


def test_the_image_is_built_in_one_stage_and_run_in_another_without_root(steps):
    stages = [place for place, (name, _) in enumerate(steps) if name == "FROM"]
    assert len(stages) == 2
    build, final = steps[: stages[1]], steps[stages[1] :]
    toolchain = next(line for line in (ROOT / "Cargo.toml").read_text().splitlines() if "rust-version" in line)
    version = json.loads(toolchain.split("=")[1])
    assert f"rust:{version}-" in build[0][1], "the builder has the toolchain of the workspace"
    # The same Debian, or the C library of the final stage could be older than that of the build.
    assert "bookworm" in build[0][1] and "bookworm" in final[0][1]
    assert "latest" not in build[0][1] + final[0][1]
    last = {name: value for name, value in final}
    assert last["USER"] == f"{USER}:{USER}"
    assert last["COPY"].startswith("--from=build ")
    assert not any(name == "ADD" for name, _ in steps)
    assert json.loads(last["ENTRYPOINT"]) == ["/usr/bin/repligo"]


def test_what_the_build_copies_is_what_cargo_needs():
    """The ignore file lets through only what is named; cargo must find all members of the workspace there."""
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines and {"Cargo.toml", "Cargo.lock", "crates", "xtask"} <= kept
    code, output, errors = run_tool(
        ["cargo", "metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path", ROOT / "Cargo.toml"]
    )
    assert code == 0, errors.decode()
    for package in json.loads(output)["packages"]:
        folder = package["manifest_path"].removeprefix(f"{ROOT}/").removesuffix("/Cargo.toml")
        assert any(f"{folder}/".startswith(f"{name}/") for name in kept), f"{package['name']} lies in {folder}"


@needs_namespaces
def test_the_command_of_the_image_starts_a_node(steps):
    command = json.loads(dict(steps)["CMD"])
    with Network() as network:
        machine = network.machine("one")
        machine.start(command)
        machine.wait_for("answers", lambda: machine.cli("127.0.0.1", "", "PING") == "PONG")
        assert (machine.volume / "data").is_dir()


def test_the_compose_specification_accepts_the_file():
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    completed = subprocess.run(argv, capture_output=True, text=True, timeout=50)
    assert completed.returncode == 0, completed.stdout + completed.stderr


@needs_namespaces
@pytest.mark.timeout(180)
def test_the_services_form_a_cluster_and_may_move(services):
    names = ["n1", "n2", "n3"]
    assert sorted(services) == [*names, "secret"]
    mounted = {volume for name in names for volume in services[name]["volumes"] if volume.startswith("secret:")}
    assert mounted == {"secret:/etc/repligo:ro"} and services["secret"]["volumes"] == ["secret:/var/lib/repligo"]

    def variables(name):
        given = {key: str(value) for key, value in services[name]["environment"].items()}
        assert given["REPLIGO_REQUIREPASS"].startswith("${REPLIGO_PASSWORD:?")
        shared = str(network.shared)
        file = given["REPLIGO_CLUSTER_SECRET_FILE"].replace("/etc/repligo", shared)
        return given | {"REPLIGO_REQUIREPASS": PASSWORD, "REPLIGO_CLUSTER_SECRET_FILE": file}

    def start(machine, **more):
        service = services[machine.name]
        assert service["hostname"] == machine.name and service["read_only"]
        machine.start(service["command"], **variables(machine.name), **more)

    def is_ready(machine):
        kind, script = services[machine.name]["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        # Compose keeps a dollar sign that is written twice.
        return machine.run("sh", "-c", script.replace("$$", "$"), **variables(machine.name))[0] == 0

    with Network() as network:
        machines = [network.machine(name) for name in names]
        shell, flag, script = services["secret"]["entrypoint"]
        # Twice, as with every `up`: the first secret stays.
        for _ in range(2):
            code, output = machines[0].run(shell, flag, script)
            assert code == 0, output
        made = machines[0].volume / "cluster.secret"
        assert made.stat().st_mode & 0o777 == 0o600
        made.rename(network.shared / "cluster.secret")
        known = {machine.name: machine for machine in machines}
        check_life_of_a_cluster(
            network, machines, start, PASSWORD, known, is_ready, is_alive=lambda machine: machine.process.is_running()
        )
