"""What a node keeps from the rest of its machine, and passwords and limits that nobody can take back by accident."""

import hashlib
from pathlib import Path

import pytest

from support.nodes import Cluster
from support.wire import Connection

OK = b"+OK\r\n"
MANY = 2**63 - 1


def core_limit(node):
    lines = Path(f"/proc/{node.pid}/limits").read_text().splitlines()
    line = next(line for line in lines if line.startswith("Max core file size"))
    return line.split()[4:6]


@pytest.mark.parametrize(("extra", "is_allowed"), [((), False), (("--core-dumps",), True)], ids=["as it comes", "asked for"])
def test_a_crash_leaves_no_memory_in_a_file_unless_asked(tmp_path, extra, is_allowed):
    own = Path("/proc/self/limits").read_text()
    if is_allowed and "Max core file size        0                    0" in own:
        pytest.skip("this machine allows no core files")
    with Cluster(tmp_path / "node", nodes=1, extra=extra) as cluster:
        assert (core_limit(cluster.nodes[0]) != ["0", "0"]) is is_allowed


def test_the_password_of_a_node_that_strangers_reach_cannot_be_taken_away(tmp_path):
    # Every user of this machine may open the socket file, so the node is reachable by strangers.
    extra = ("--requirepass", "own", "--unix-socket", str(tmp_path / "s"), "--unix-socket-mode", "666")
    with Cluster(tmp_path / "node", nodes=1, extra=extra, password="own") as cluster:
        node = cluster.nodes[0]
        with node.connect() as connection:
            refused = connection.call("CONFIG", "SET", "requirepass", "").raw
            assert refused.startswith(b"-ERR CONFIG SET failed (possibly related to argument 'requirepass')"), refused
            assert b"insecure" in refused
            # Another one is taken, and holds for whoever comes next.
            assert connection.call("CONFIG", "SET", "requirepass", "next").raw == OK
        with Connection(node.address) as stranger:
            assert stranger.call("GET", "k").raw.startswith(b"-NOAUTH")
            assert stranger.call("AUTH", "own").raw.startswith(b"-WRONGPASS")
            assert stranger.call("AUTH", "next").raw == OK


def test_a_password_is_the_bytes_that_were_given_or_refused(tmp_path):
    secret = b"\xff\xfe\x00pass\xc3"
    as_text = secret.decode("utf-8", "replace").encode()
    with Cluster(tmp_path / "node", nodes=1) as cluster:
        node = cluster.nodes[0]
        with node.connect() as connection:
            refused = connection.call("CONFIG", "SET", "requirepass", secret).raw
            assert refused.startswith(b"-ERR CONFIG SET failed") and b"UTF-8" in refused
            # Nothing changed: nobody has to log in.
            assert Connection(node.address).call("GET", "k").raw == b"$-1\r\n"
            # Users of the log have any bytes.
            assert connection.call("ACL", "SETUSER", "app", "on", b">" + secret, "~*", "+get").raw == OK
            assert hashlib.sha256(secret).hexdigest().encode() in connection.ask("ACL", "LIST")[0]
            assert connection.call("AUTH", "app", as_text).raw.startswith(b"-WRONGPASS")
            assert connection.call("AUTH", "app", secret).raw == OK


def test_a_limit_of_arguments_that_would_lock_everybody_out_is_refused(tmp_path):
    with Cluster(tmp_path / "node", nodes=1) as cluster, cluster.nodes[0].connect() as connection:
        before = connection.ask("CONFIG", "GET", "proto-max-bulk-len")
        for wrong in ("0", "2", "-1", str((1 << 20) - 1), str(MANY + 1), "x"):
            refused = connection.call("CONFIG", "SET", "proto-max-bulk-len", wrong).raw
            assert refused.startswith(b"-ERR CONFIG SET failed"), (wrong, refused)
        assert connection.ask("CONFIG", "GET", "proto-max-bulk-len") == before
        with Connection(cluster.nodes[0].address) as other:
            assert other.call("PING").raw == b"+PONG\r\n"
