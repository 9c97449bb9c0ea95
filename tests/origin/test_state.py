"""Whether its database answers can be seen at every node: status, pages, INFO, metrics and the log."""

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from faults.database import mapped_cluster
from support.nodes import binary
from support.waiting import wait_until


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A cluster with a mapped keyspace, and its database."""
    settings = {"statement_timeout": "1s", "flush_deadline": "3s"}
    with mapped_cluster(tmp_path_factory.mktemp("state"), **settings) as pair:
        yield pair


def page(node, path):
    try:
        with urllib.request.urlopen(f"http://{node.admin}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def status(node):
    with node.connect() as connection:
        return json.loads(connection.ask("REPLIGO.STATUS"))


def command_line_status(node):
    run = subprocess.run(
        [binary(), "status", "--addr", node.address], capture_output=True, text=True, timeout=20, check=False
    )
    return run.returncode, run.stdout


def lines(cluster, text):
    """How often a line is in the log of each node."""
    logs = {node.name: cluster.directory / "dev" / f"{node.name}.log" for node in cluster.nodes}
    return {name: path.read_text(errors="replace").count(text) for name, path in logs.items()}


@pytest.mark.timeout(120)
def test_a_database_that_is_gone_is_seen_everywhere_and_so_is_its_return(mapped):
    cluster, database = mapped
    with cluster.leader().connect() as connection:
        assert connection.ask("SET", "item:a", "1") == b"OK"
    for node in cluster.nodes:
        wait_until("all is well", lambda n=node: status(n)["health"] == "healthy", 20)
        assert page(node, "/healthz?level=origin")[0] == 200
    # Nobody writes or reads a mapped key: the leader finds out by itself.
    with database.gone():
        for node in cluster.nodes:
            wait_until("it is seen", lambda n=node: status(n)["health"] == "degraded", 30)
            report = status(node)["origin"]
            assert report["keyspaces_down"] == 1
            assert report["down"][0]["keyspace"] == "items"
            assert "does not exist" in report["down"][0]["reason"]
            code, screen = command_line_status(node)
            assert code == 1 and "wrong: origin main, keyspace items: " in screen, screen
            assert page(node, "/readyz") == (200, "ok\n")
            code, text = page(node, "/healthz")
            assert code == 200 and "degraded: origin main of keyspace items is down" in text, text
            assert page(node, "/healthz?level=origin")[0] == 503
            metrics = page(node, "/metrics")[1]
            assert 'repligo_origin_up{origin="main"} 0' in metrics
            assert "repligo_origin_keyspaces_down 1" in metrics
            with node.connect() as connection:
                info = connection.ask("INFO", "origin").decode()
                assert "origin_keyspaces_down:1\r\n" in info and "origin_main:down\r\n" in info, info
                assert connection.ask("SET", "plain", "1") == b"OK"
    for node in cluster.nodes:
        wait_until("it is back", lambda n=node: status(n)["health"] == "healthy", 30)
        assert page(node, "/healthz") == (200, "ok\n")
        assert 'repligo_origin_up{origin="main"} 1' in page(node, "/metrics")[1]
    for text in ("origin down: ", "origin back: "):
        assert set(lines(cluster, text).values()) == {1}, (text, lines(cluster, text), cluster.logs())


@pytest.mark.timeout(120)
def test_copies_go_when_another_cluster_gets_the_database_and_rows_are_loaded_anew_when_it_has_gone(mapped):
    cluster, database = mapped
    other = "f" * 32

    def database_says(*statements):
        connection = database.open()
        try:
            for statement in statements:
                connection.execute(statement)
        finally:
            connection.close()

    with cluster.leader().connect(20) as connection:
        assert connection.ask("SET", "item:b", "ours") == b"OK"
        assert connection.ask("GET", "item:nothing") is None
        # Somebody lets another cluster in, as the refusal says, although this one lives.
        database_says(
            "BEGIN IMMEDIATE",
            "DELETE FROM repligo_lane",
            f"INSERT INTO repligo_lane VALUES('{other}', 'items', 0, 1, 1, 0, 'x')",
            "UPDATE items SET value = x'6c61746572' WHERE name = 'b'",
            "INSERT INTO items VALUES('nothing', x'736f6d65')",
            "COMMIT",
        )

        def refusal(key):
            reply = connection.call("GET", key).raw
            return reply.startswith(b"-ORIGINDOWN") and other.encode() in reply

        # Nobody writes or reads through: the leader looks by itself, and the copies go.
        wait_until("the copies are gone", lambda: refusal("item:b"), 30)
        assert refusal("item:nothing")
        database_says(f"DELETE FROM repligo_lane WHERE cluster='{other}'")
        wait_until("it is loaded anew", lambda: connection.call("GET", "item:b").raw == b"$5\r\nlater\r\n", 30)
        assert connection.ask("GET", "item:nothing") == b"some"
        wait_until("it is written", lambda: connection.call("SET", "item:b", "new").raw == b"+OK\r\n", 30)
    assert database.rows("items")[b"item:b"] == b"new"


@pytest.mark.timeout(120)
def test_a_write_that_meets_a_locked_database_is_told_so_when_the_origin_is_known_to_be_down(tmp_path):
    """With the times that a user has who sets none: that the origin is down shows when the five seconds are over."""
    with mapped_cluster(tmp_path) as (cluster, database):
        leader = cluster.leader()
        for node in (leader, cluster.followers(leader)[0]):
            with node.connect(60) as connection, contextlib.closing(database.open()) as other:
                assert connection.ask("SET", "item:a", "before") == b"OK"
                other.execute("BEGIN IMMEDIATE")
                begin = time.monotonic()
                reply = connection.call("SET", "item:a", "during").raw
                waited = time.monotonic() - begin
                assert reply.startswith(b"-UNKNOWN the origin of keyspace items did not decide"), (waited, reply)
                assert b"database is locked" in reply
                assert waited < 9, "a client that waits ten seconds for a reply has it"
                other.execute("ROLLBACK")
                wait_until("it is written", lambda c=connection: c.call("SET", "item:a", "after").raw == b"+OK\r\n", 30)
