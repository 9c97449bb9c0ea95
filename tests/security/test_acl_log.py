"""ACL LOG and failed logins: what was refused is kept as in Redis, and guessing a password takes time."""

import json
import os
import re
import stat
import threading
import time

import pytest

from support.nodes import Cluster
from support.redis_server import RedisServer
from support.resp import encode
from support.waiting import wait_until
from support.wire import Connection

WRONG = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
TOO_MANY = b"-ERR too many failed logins from this address"
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    return tmp_path_factory.mktemp("audit") / "audit.log"


@pytest.fixture(scope="module")
def node(tmp_path_factory, audit):
    extra = ("--durability", "none", "--audit-log", str(audit))
    with Cluster(tmp_path_factory.mktemp("acl-log"), nodes=1, extra=extra) as cluster:
        yield cluster.nodes[0]


def entries(connection, *words):
    """ACL LOG as dictionaries, without what differs from server to server."""
    found = []
    for entry in connection.ask("ACL", "LOG", *words):
        entry = dict(zip(entry[::2], entry[1::2], strict=True)) if isinstance(entry, list) else entry
        found.append({name.decode(): value for name, value in entry.items()})
    return found


KEPT = ("count", "reason", "context", "object", "username")
# One connection asks all of it, as `app` unless it says otherwise.
REQUESTS = [
    ("GET", "other"),
    ("GET", "other"),
    ("GET", "app:1"),
    ("SET", "app:1", "v"),
    ("MGET", "app:1", "third"),
    ("CONFIG", "GET", "maxmemory"),
    ("config", "SET", "maxmemory", "0"),
    ("AUTH", "app", "wrong"),
    ("auth", "nobody", "x"),
    ("AUTH", "wrong"),
    ("HELLO", "3", "AUTH", "app", "wrong"),
    ("MULTI",),
    ("GET", "other"),
    ("CLIENT", "LIST"),
    ("EXEC",),
    ("DISCARD",),
    ("GET", "third"),
    ("GET", "other"),
]


def trouble(address):
    """What a server keeps of the same requests."""
    with Connection(address) as admin, Connection(address) as app:
        admin.call("ACL", "LOG", "RESET")
        rules = ("on", ">secret", "~app:*", "+get", "+mget", "+multi", "+exec", "+discard", "+auth", "+hello")
        assert admin.call("ACL", "SETUSER", "app", "reset", *rules).raw == b"+OK\r\n"
        assert admin.call("ACL", "SETUSER", "default", ">x", "on").raw == b"+OK\r\n"
        wait_until("app can log in", lambda: app.call("AUTH", "app", "secret").raw == b"+OK\r\n", 5)
        for words in REQUESTS:
            app.call(*words)
        # A right that goes between MULTI and EXEC.
        app.call("MULTI")
        app.call("GET", "app:1")
        admin.call("ACL", "SETUSER", "app", "-get")
        app.call("EXEC")
        shown = [{name: entry[name] for name in KEPT} for entry in entries(admin)]
        assert [len(entries(admin, str(count))) for count in (0, 1, 3)] == [0, 1, 3]
        words = [admin.call("ACL", "LOG", *more).raw for more in (("-1",), ("x",), ("1", "2"))]
        admin.call("ACL", "LOG", "RESET")
        assert entries(admin) == []
        admin.call("ACL", "SETUSER", "default", "nopass")
        admin.call("ACL", "DELUSER", "app")
        return shown, words


def test_what_is_refused_is_kept_as_in_redis(node, tmp_path):
    redis = RedisServer(tmp_path)
    try:
        theirs, ours = trouble(redis.address), trouble(node.address)
    finally:
        redis.stop()
    assert len(theirs[0]) >= 9
    for one, other in zip(ours[0], theirs[0], strict=True):
        assert one == other
    assert ours[1][:2] == theirs[1][:2] and ours[1][2][:20] == theirs[1][2][:20]


def test_an_entry_tells_the_client_and_its_age(node):
    with node.connect() as admin:
        admin.ask("ACL", "SETUSER", "aged", "on", ">secret", "+ping")
        admin.ask("ACL", "LOG", "RESET")
        with Connection(node.address) as client:
            client.ask("CLIENT", "SETNAME", "probe")
            assert client.call("AUTH", "aged", "wrong").raw == WRONG
            (entry,) = entries(admin)
            assert b"name=probe" in entry["client-info"] and b"cmd=auth" in entry["client-info"]
            assert b"\n" not in entry["client-info"]
            assert 0 <= float(entry["age-seconds"]) < 5 and entry["timestamp-created"] == entry["timestamp-last-updated"]
            first = entry["entry-id"]
            client.call("AUTH", "aged", "wrong")
            client.call("AUTH", "other", "wrong")
            assert [(e["count"], e["entry-id"] - first) for e in entries(admin)] == [(1, 1), (2, 0)]
        assert admin.ask("CONFIG", "SET", "acllog-max-len", "1") == b"OK"
        assert len(entries(admin)) == 1
        assert admin.ask("CONFIG", "SET", "acllog-max-len", "128") == b"OK"
        stats = admin.ask("INFO", "stats").decode()
        assert int(re.search(r"acl_access_denied_auth:(\d+)", stats)[1]) >= 3
        admin.ask("ACL", "DELUSER", "aged")


def lines(audit, kind):
    wait_until("it is written", audit.exists, 5)
    found = [json.loads(line) for line in audit.read_text().splitlines()]
    return [line for line in found if line["event"] == kind]


def test_who_did_what_is_in_the_audit_log_and_no_secret_is(node, audit):
    with node.connect() as admin:
        digits = "0" * 64
        admin.ask("ACL", "SETUSER", "told", "on", ">hunter2", "#" + digits, "~k:*", "+get", "(+set ~x)")
        with node.connect() as client:
            address = client.socket.getsockname()
            assert client.ask("AUTH", "told", "hunter2") == b"OK"
            assert client.call("AUTH", "told", "hunter3").raw == WRONG
            assert client.call("AUTH", "hunter4", "x").raw == WRONG
        admin.ask("CONFIG", "SET", "timeout", "1234567", "slowlog-max-len", "128")
        admin.ask("CONFIG", "SET", "timeout", "0")
        admin.call("CONFIG", "SET", "requirepass", "hunter5", "daemonize", "hunter6")
        admin.call("REPLIGO.CLUSTER", "TRANSFER", "nobody")
        admin.ask("ACL", "DELUSER", "told")
    wait_until("all is written", lambda: len(lines(audit, "acl")) and lines(audit, "acl")[-1]["change"][0] == "DELUSER", 5)
    logins = [line for line in lines(audit, "login") if line["address"] == f"{address[0]}:{address[1]}"]
    assert [(line["user"], line["outcome"]) for line in logins] == [("told", "ok"), ("told", "refused"), ("hunter4", "refused")]
    change = next(line for line in lines(audit, "acl") if line["change"][1] == "told")
    hidden = ["SETUSER", "told", "on", ">(hidden)", "#(hidden)", "~k:*", "+get", "(+set ~x)"]
    assert (change["user"], change["outcome"], change["change"]) == ("default", "requested", hidden)
    config = [(line["parameters"], line["outcome"]) for line in lines(audit, "config")]
    assert (["timeout", "slowlog-max-len"], "ok") in config and (["requirepass", "daemonize"], "refused") in config
    (members,) = lines(audit, "members")
    assert members["change"] == ["TRANSFER", "nobody"] and members["outcome"] == "refused" and members["node"] == "n1"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", members["time"])
    text = audit.read_text()
    assert not any(secret in text for secret in ("hunter2", "hunter3", "hunter5", "hunter6", digits, "1234567"))
    assert stat.S_IMODE(os.stat(audit).st_mode) == 0o600


def test_guessing_is_slow_and_nobody_else_is(node):
    """Thousands of failed logins per second from one address, on many connections."""
    with node.connect() as admin:
        admin.ask("ACL", "SETUSER", "victim", "on", ">secret", "~*", "+@all")
        denied = lambda: int(re.search(r"acl_access_denied_auth:(\d+)", admin.ask("INFO", "stats").decode())[1])
        worker = node.connect()
        worker.ask("AUTH", "victim", "secret")
        before, over, sent = denied(), threading.Event(), [0]

        def guess(number):
            request = encode(("AUTH", "victim", f"guess{number}")) * 50
            while not over.is_set():
                try:
                    with Connection(node.address, 1) as connection:
                        connection.send(request)
                        for _ in range(50):
                            reply = connection.read(1).raw
                            assert reply == WRONG or reply.startswith(TOO_MANY), reply
                            sent[0] += 1
                except (OSError, TimeoutError):
                    continue

        threads = [threading.Thread(target=guess, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        took, start = [], time.monotonic()
        while time.monotonic() < start + 3:
            begin = time.monotonic()
            assert worker.ask("SET", "k", "v") == b"OK"
            took.append(time.monotonic() - begin)
        over.set()
        judged = denied() - before
        for thread in threads:
            thread.join()
        print(f"{sent[0]} attempts answered, {judged} judged, {len(took)} requests of another client")
        assert judged < 16 + 3 * 40, "sixteen are free, the rest come with a pause"
        assert sent[0] > 10 * judged
        assert sorted(took)[len(took) * 9 // 10] < 0.1
        # The right password is taken, too, when it is its turn.
        with Connection(node.address) as late:
            wait_until("victim can log in", lambda: late.call("AUTH", "victim", "secret").raw == b"+OK\r\n", 20)
        with node.connect() as block:
            block.ask("MULTI")
            for number in range(60):
                block.ask("AUTH", "victim", f"in a block {number}")
            replies = block.call("EXEC").raw
            assert replies.startswith(b"*60\r\n") and replies.count(TOO_MANY) > 10
        worker.close()
        admin.ask("ACL", "DELUSER", "victim")
