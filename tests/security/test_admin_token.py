"""A token guards admin HTTP, but for what probes ask."""

import urllib.error
import urllib.request

import pytest

from support.nodes import binary
from support.processes import Process, run_tool
from support.redis_server import free_port

TOKEN = "0123456789abcdef"


class Node:
    """A single node, without anybody who asks its health."""

    def __init__(self, folder, *flags):
        self.admin = f"127.0.0.1:{free_port()}"
        argv = [binary(), "serve", "--listen", f"127.0.0.1:{free_port()}", "--admin-listen", self.admin]
        argv += ["--peer-listen", f"127.0.0.1:{free_port()}", "--durability", "none", "--data-dir", folder / "data", *flags]
        log = folder / "log"
        self.process = Process(argv, log, env={})
        self.process.wait_for("is ready", lambda: "repligo ready" in log.read_text(), 30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()


def ask(node, page, **headers):
    request = urllib.request.Request(f"http://{node.admin}{page}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return file


def test_only_who_has_the_token_reads_more_than_health(file, tmp_path):
    with Node(tmp_path, "--admin-token-file", file) as node:
        for page in ("/livez", "/readyz"):
            assert ask(node, page)[0] == 200
        for page in ("/", "/healthz", "/metrics", "/api/status", "/nothing"):
            for headers in ({}, {"Authorization": "Bearer " + TOKEN[:-1]}, {"Authorization": TOKEN}, {"Authorization": "Basic eDp4"}):
                status, text = ask(node, page, **headers)
                assert status == 401 and "repligo_" not in text and "n1" not in text, (page, headers)
        assert "repligo_" in ask(node, "/metrics", Authorization="Bearer " + TOKEN)[1]
        assert ask(node, "/nothing", Authorization="Bearer " + TOKEN)[0] == 404


def test_a_token_that_others_can_read_is_refused(file, tmp_path):
    open_file = tmp_path / "token"
    open_file.write_text(TOKEN)
    open_file.chmod(0o644)
    code, _, errors = run_tool([binary(), "serve", "--data-dir", tmp_path / "data", "--admin-token-file", open_file])
    assert code == 2 and b"admin-token-file" in errors and b"chmod 600" in errors


@pytest.mark.timeout(60)
def test_dev_sees_its_nodes_although_they_ask_for_a_token(file, tmp_path):
    argv = [binary(), "dev", "--nodes", "2", "--base-port", "0", "--dir", tmp_path / "dev", "--"]
    process = Process([*argv, "--admin-token-file", file], tmp_path / "log", env={})
    try:
        process.wait_for("is ready", lambda: "repligo dev ready" in (tmp_path / "log").read_text(), 40)
        assert TOKEN not in (tmp_path / "dev/cluster.json").read_text()
    finally:
        process.stop()


def test_dev_refuses_what_it_could_not_ask(file, tmp_path):
    argv = [binary(), "dev", "--base-port", "0", "--dir", tmp_path / "dev", "--"]
    code, _, errors = run_tool([*argv, "--admin-tls-cert", "c", "--admin-tls-key", "k"], env={})
    assert code == 2 and b"plain admin HTTP" in errors
