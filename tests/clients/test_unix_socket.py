"""Clients of the same machine connect through a socket file, whose mode is its access control."""

import os
import socket
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from support.nodes import binary
from support.processes import Process, run_tool
from support.waiting import wait_until


@pytest.fixture
def folder():
    # A socket's path is short; pytest's own folders may not be.
    with tempfile.TemporaryDirectory(prefix="repligo-") as name:
        yield Path(name)


@contextmanager
def serve(folder, *extra):
    """A single node with a socket file, which serves."""
    path = folder / "s.sock"
    argv = [binary(), "serve", "--listen", "127.0.0.1:0", "--data-dir", folder / "data"]
    node = Process([*argv, "--unix-socket", path, *extra], folder / "log", env={})

    def answers():
        try:
            return redis.Redis(unix_socket_path=str(path)).ping()
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False

    try:
        node.wait_for("the socket answers", answers, 30)
        yield node, path
    finally:
        node.stop()


@pytest.mark.parametrize("workers", [[], ["--workers", "3", "--workers-busy-percent", "0"]], ids=["one", "three"])
def test_a_client_of_the_socket_is_a_client_like_others(folder, workers):
    with serve(folder, *workers) as (node, path):
        client = redis.Redis(unix_socket_path=str(path), protocol=3)
        assert client.set("k", b"v" * 3_000_000)
        assert client.get("k") == b"v" * 3_000_000
        with client.pipeline() as pipeline:
            for number in range(2_000):
                pipeline.incr("n")
            assert pipeline.execute()[-1] == 2_000
        code, output, _ = run_tool(["redis-cli", "-s", path, "GET", "n"])
        assert (code, output) == (0, b"2000\n")
        own = client.client_info()
        assert own["addr"] == f"{path}:0" and own["laddr"] == f"{path}:0" and own["flags"] == "U", own
        assert client.config_get("unixsocket*") == {"unixsocket": str(path), "unixsocketperm": "600"}
        assert client.client_kill_filter(addr=f"{path}:0", skipme=True) == 0


def test_only_the_owner_may_connect_unless_asked_otherwise(folder):
    with serve(folder) as (node, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with serve(folder, "--unix-socket-mode", "660") as (node, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_killed_node_finds_its_socket_again_and_a_stopped_one_leaves_none(folder):
    with serve(folder) as (node, path):
        redis.Redis(unix_socket_path=str(path)).set("k", "v")
        node.kill()
    assert path.exists(), "nobody removes it after a kill"
    with serve(folder) as (node, path):
        assert redis.Redis(unix_socket_path=str(path)).get("k") == b"v"
    wait_until("the socket file is gone", lambda: not path.exists())


def test_a_path_that_is_taken_is_refused_and_left_alone(folder):
    path = folder / "s.sock"
    holder = socket.socket(socket.AF_UNIX)
    holder.bind(str(path))
    holder.listen(1)
    argv = [binary(), "serve", "--listen", "127.0.0.1:0", "--data-dir", folder / "data"]
    code, _, errors = run_tool([*argv, "--unix-socket", path], env={})
    assert code == 1 and b"another process listens there" in errors, errors
    holder.close()
    os.remove(path)
    path.write_text("precious")
    code, _, errors = run_tool([*argv, "--unix-socket", path], env={})
    assert code == 1 and b"is no socket" in errors and b"--unix-socket" in errors, errors
    assert path.read_text() == "precious"


def test_everybody_may_connect_only_with_a_password(folder):
    argv = [binary(), "serve", "--listen", "127.0.0.1:0", "--data-dir", folder / "data"]
    argv += ["--unix-socket", folder / "s", "--unix-socket-mode", "666"]
    code, _, errors = run_tool(argv, env={})
    assert code == 2 and b"no password is set" in errors, errors
    with serve(folder, "--unix-socket-mode", "666", "--requirepass", "secret") as (node, path):
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(unix_socket_path=str(path)).get("k")
        assert redis.Redis(unix_socket_path=str(path), password="secret").set("k", "v")
