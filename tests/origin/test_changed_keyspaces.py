"""What is mapped stays as it is for as long as the data does: another start is refused, and a backup goes over."""

import contextlib

import pytest

from backup.tool import backup, restore
from origin.test_tables import CONFIGURATION, execute, mapped
from support.nodes import Cluster, binary
from support.processes import Process
from support.redis_server import free_port
from support.waiting import wait_until
from support.wire import Connection

SECONDS = 20
ORDERS = """
[[keyspace]]
name = "orders"
pattern = "order:{id:int}"
origin = "main"
mode = "write-through"
table = "orders"
value = "json"
fields = { text = "text" }
"""
ADA = b'{"name":"ada","email":"a@example.org"}'


class Node:
    """One node without `dev`, on the same ports at every start."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "data"
        self.ports = [free_port() for _ in range(3)]
        self.address = f"127.0.0.1:{self.ports[0]}"
        self.starts = 0

    @contextlib.contextmanager
    def serve(self, *words):
        node = self._start(*words)
        try:
            node.wait_for("it serves", lambda: "repligo ready" in node.tail(100), SECONDS)
            with Connection(self.address, SECONDS) as connection:
                wait_until("it leads", lambda: connection.call("GET", "nothing").raw == b"$-1\r\n", SECONDS)
                yield connection
        finally:
            assert node.stop(SECONDS) == 0, node.tail()

    def refused(self, *words):
        node = self._start(*words)
        wait_until("the start ends", lambda: not node.is_running(), SECONDS)
        assert node.child.returncode == 1, node.tail()
        return node.tail(100)

    def _start(self, *words):
        self.starts += 1
        argv = [binary(), "serve", "--name", "n1", "--listen", self.address, "--data-dir", self.data]
        argv += ["--peer-listen", f"127.0.0.1:{self.ports[1]}", "--admin-listen", f"127.0.0.1:{self.ports[2]}", *words]
        return Process(argv, self.folder / f"start{self.starts}.log")


@pytest.fixture
def node(tmp_path):
    mapped(tmp_path)
    execute(tmp_path, "CREATE TABLE orders(id INTEGER PRIMARY KEY, text TEXT);")
    (tmp_path / "more.toml").write_text(CONFIGURATION + ORDERS)
    return Node(tmp_path)


def test_data_is_never_served_under_other_sections_than_it_was_made_with(node, tmp_path):
    one, two = ("--config", tmp_path / "repligo.toml"), ("--config", tmp_path / "more.toml")
    with node.serve(*one) as connection:
        assert connection.ask("SET", "user:7", ADA) == b"OK"
        # With a snapshot on disk, too.
        backup(node.address, tmp_path / "first.backup")
    for words, now in [(two, "(users, orders)"), ((), "(none)")]:
        said = node.refused(*words)
        assert "was made with other [[keyspace]] sections (users) than this start has " + now in said, said
        assert "Change what is mapped" in said and "panicked" not in said, said
    with node.serve(*one) as connection:
        assert connection.ask("GET", "user:7") == ADA


def test_a_mapping_does_not_come_over_plain_data(node, tmp_path):
    with node.serve() as connection:
        connection.ask("SET", "user:7", "plain")
    said = node.refused("--config", tmp_path / "repligo.toml")
    assert "sections (none) than this start has (users)" in said, said
    with node.serve() as connection:
        assert connection.ask("GET", "user:7") == b"plain"


def test_what_is_mapped_is_changed_with_a_backup_and_plain_keys_are_in_the_way_of_it(node, tmp_path):
    with node.serve("--config", tmp_path / "repligo.toml") as connection:
        connection.ask("SET", "user:7", ADA)
        connection.ask("SET", "note", "plain")
        for key in ("order:1", "order:x"):
            connection.ask("RPUSH", key, "would hide the row")
        backup(node.address, tmp_path / "hidden.backup")
        connection.ask("DEL", "order:1", "order:x")
        backup(node.address, tmp_path / "clear.backup")
    execute(tmp_path, "DELETE FROM repligo_lane; INSERT INTO orders VALUES (1, 'tea');")
    node.data = tmp_path / "hidden"
    restore(tmp_path / "hidden.backup", node.data, "--name", "n1")
    said = node.refused("--config", tmp_path / "more.toml")
    assert "2 keys that were written without a mapping" in said and "order:" in said and "delete them" in said, said
    node.data = tmp_path / "clear"
    restore(tmp_path / "clear.backup", node.data, "--name", "n1")
    with node.serve("--config", tmp_path / "more.toml") as connection:
        assert connection.ask("GET", "note") == b"plain"
        assert connection.ask("GET", "user:7") == ADA
        assert connection.ask("GET", "order:1") == b'{"text":"tea"}'
        assert connection.ask("SET", "order:2", '{"text":"milk"}') == b"OK"
    assert "(users, orders)" in node.refused("--config", tmp_path / "repligo.toml")


def test_nodes_that_ran_alone_do_not_become_as_many_clusters(tmp_path):
    node = Node(tmp_path)
    with node.serve() as connection:
        connection.ask("SET", "x", "of n1")
    line = f"n1=127.0.0.1:{node.ports[1]},n2=127.0.0.1:{free_port()},n3=127.0.0.1:{free_port()}"
    said = node.refused("--cluster", line, "--insecure-peers")
    assert "holds the data of a node that runs alone, and n2 and n3 would never become members" in said, said
    assert "restore it with --cluster" in said, said
    with node.serve() as connection:
        assert connection.ask("GET", "x") == b"of n1"


def test_the_members_of_a_cluster_start_with_its_sections_alone(tmp_path):
    config = mapped(tmp_path)
    with Cluster(tmp_path, nodes=3, options=("--config", config)) as cluster:
        with cluster.nodes[0].connect(SECONDS) as connection:
            assert connection.ask("SET", "user:1", ADA) == b"OK"
        node = cluster.followers()[0]
        node.kill()
        kept = config.read_text()
        config.write_text(kept + 'cache_ttl = "1h"\n')
        node.start(tmp_path / "refused.log")
        wait_until("the start ends", lambda: not node.started.is_running(), SECONDS)
        assert "was made with other [[keyspace]] sections (users)" in (tmp_path / "refused.log").read_text()
        config.write_text(kept)
        again = tmp_path / "again.log"
        node.start(again)
        wait_until("it is ready", lambda: again.exists() and "repligo ready" in again.read_text(), SECONDS)
        with node.connect(SECONDS) as connection:
            wait_until("it is back", lambda: connection.call("GET", "user:1").raw.endswith(ADA + b"\r\n"), SECONDS)
