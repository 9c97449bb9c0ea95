"""Users are replicated: what one node is told holds on all of them, at once for who is connected, and for ever."""

import hashlib

import pytest

from support.nodes import Cluster
from support.waiting import wait_until
from support.wire import Closed

DENIED = b"-NOPERM this user has no permissions to run the 'get' command\r\n"
DENIED_KEY = b"-NOPERM this user has no permissions to access one of the keys used as arguments\r\n"
WRONG = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
OK = b"+OK\r\n"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """A cluster of which a test may kill nodes."""
    with Cluster(tmp_path_factory.mktemp("acl")) as cluster:
        yield cluster


def log_in(node, name, password):
    connection = node.connect()
    wait_until(
        f"{name} can log in at {node}",
        lambda: connection.call("AUTH", name, password).raw == OK,
        10,
        pause=0.02,
    )
    return connection


def users_of(node):
    with node.connect() as connection:
        return sorted(connection.ask("ACL", "LIST"))


def agree(cluster, seconds=20):
    """Waits until all nodes that run have the same users, and returns them."""

    def same():
        lists = [users_of(node) for node in cluster.nodes if node.pid is not None]
        return lists[0] if all(one == lists[0] for one in lists) else None

    return wait_until("all nodes have the same users", same, seconds, pause=0.05)


def set_user(node, *rules):
    with node.connect() as connection:
        assert connection.call("ACL", "SETUSER", *rules).raw == OK


def test_a_user_made_through_a_follower_holds_on_every_node(nodes):
    leader = nodes.leader()
    set_user(nodes.followers(leader)[0], "app", "on", ">secret", "~app:*", "+@read", "+set", "+acl|whoami")
    users = agree(nodes)
    assert any(line.startswith(b"user app on #") for line in users)
    assert not any(b"secret" in line for line in users)
    for node in nodes.nodes:
        with log_in(node, "app", "secret") as app:
            assert app.ask("ACL", "WHOAMI") == b"app"
            assert app.call("SET", "app:k", node.name).raw == OK
            assert app.ask("GET", "app:k") == node.name.encode()
            assert app.call("SET", "other", "v").raw == DENIED_KEY
            assert app.call("DEL", "app:k").raw.startswith(b"-NOPERM")
            assert app.call("AUTH", "app", "wrong").raw == WRONG
            assert app.call("HELLO", "3", "AUTH", "app", "secret").raw.startswith(b"%")


def test_a_change_holds_for_every_open_connection(nodes):
    set_user(nodes.leader(), "open", "on", "nopass", "~*", "+get", "+set")
    connections = [log_in(node, "open", "any") for node in nodes.nodes]
    for connection in connections:
        assert connection.call("SET", "k", "v").raw == OK
    set_user(nodes.followers()[0], "open", "-get", "resetkeys", "~mine:*")
    for connection in connections:
        wait_until("GET is refused", lambda c=connection: c.call("GET", "k").raw == DENIED, 10, pause=0.01)
        assert connection.call("SET", "k", "v").raw == DENIED_KEY
        assert connection.call("SET", "mine:k", "v").raw == OK
        connection.close()


def test_a_change_is_in_force_for_what_follows_it_in_the_pipeline(nodes):
    for node in nodes.nodes:
        with node.connect() as connection:
            asked = [
                ["ACL", "SETUSER", "pipe", "reset", "on", "nopass", "~*", "+@all"],
                ["AUTH", "pipe", "x"],
                ["SET", "k", "v"],
                ["ACL", "SETUSER", "pipe", "-get"],
                ["GET", "k"],
                ["ACL", "WHOAMI"],
                ["ACL", "SETUSER", "pipe", "+get"],
                ["GET", "k"],
            ]
            from support.resp import encode

            connection.send(b"".join(encode([word.encode() for word in words]) for words in asked))
            replies = [connection.read().raw for _ in asked]
            assert replies == [OK, OK, OK, OK, DENIED, b"$4\r\npipe\r\n", OK, b"$1\r\nv\r\n"], node


def test_exec_is_judged_when_it_is_executed(nodes):
    set_user(nodes.leader(), "block", "on", "nopass", "~*", "+@all")
    with log_in(nodes.followers()[0], "block", "x") as block:
        block.ask("MULTI")
        for words in (["SET", "b:k", "v"], ["GET", "b:k"], ["CLIENT", "ID"]):
            assert block.call(*words).raw == b"+QUEUED\r\n"
        set_user(nodes.leader(), "block", "-get", "-client|id")
        wait_until("the follower has the change", lambda: b"-client|id" in b"".join(users_of(nodes.followers()[0])), 10)
        reply = block.call("EXEC").raw
        refused = b"-NOPERM ACLs rules changed between the moment the transaction was accumulated"
        assert reply.startswith(b"*3\r\n+OK\r\n" + refused) and reply.count(refused) == 2
        assert block.call("ACL", "SETUSER", "x").raw == OK
        block.ask("MULTI")
        assert block.call("ACL", "SETUSER", "x").raw.startswith(b"-ERR Command not allowed inside a transaction")
        assert block.call("EXEC").raw.startswith(b"-EXECABORT")


def test_connections_of_a_deleted_user_end(nodes):
    set_user(nodes.leader(), "gone", "on", "nopass", "~*", "+@all")
    connections = [log_in(node, "gone", "x") for node in nodes.nodes]
    # One of them deletes itself, and is told so first.
    assert connections[0].call("ACL", "DELUSER", "gone", "nobody").raw == b":1\r\n"
    for connection in connections:
        with pytest.raises((Closed, ConnectionError)):
            for _ in range(200):
                connection.call("PING")
                wait_until("a moment", lambda: True, 1, pause=0.01)
        connection.close()
    for node in nodes.nodes:
        with node.connect() as connection:
            wait_until(
                f"nobody can log in as gone at {node}",
                lambda c=connection: c.call("AUTH", "gone", "x").raw == WRONG,
                10,
            )
            assert connection.call("ACL", "DELUSER", "default").raw.startswith(b"-ERR The 'default' user")


def test_a_password_is_changed_and_who_is_connected_stays(nodes):
    set_user(nodes.leader(), "key", "on", ">old", "+ping")
    with log_in(nodes.followers()[0], "key", "old") as connected:
        set_user(nodes.followers()[0], "key", "resetpass", ">new")
        with log_in(nodes.leader(), "key", "new") as other:
            assert other.call("AUTH", "key", "old").raw == WRONG
        assert connected.call("PING").raw == b"+PONG\r\n"
    digits = hashlib.sha256(b"third").hexdigest()
    set_user(nodes.leader(), "key", "#" + digits, "<new")
    log_in(nodes.followers()[0], "key", "third").close()
    set_user(nodes.leader(), "key", "off")
    with nodes.leader().connect() as connection:
        assert connection.call("AUTH", "key", "third").raw == WRONG


def test_users_survive_failover_and_restart(nodes):
    set_user(nodes.followers()[0], "lasting", "on", ">p", "~l:*", "+get", "+set")
    before = agree(nodes)
    leader = nodes.leader()
    leader.kill()
    nodes.leader()
    for node in nodes.nodes:
        if node.pid is not None:
            with log_in(node, "lasting", "p") as lasting:
                assert lasting.call("SET", "l:k", "v").raw == OK
                assert lasting.call("SET", "k", "v").raw == DENIED_KEY
    set_user(nodes.leader(), "lasting", "-get")
    leader.start(nodes.directory / "restarted.log")
    after = agree(nodes)
    assert after != before and any(b"user lasting" in line and b"-get" in line for line in after)
    with log_in(leader, "lasting", "p") as lasting:
        assert lasting.call("GET", "l:k").raw == DENIED


def limit_memory(nodes, size):
    """The log in memory has an eighth of it."""
    for node in nodes.nodes:
        if node.pid is not None:
            with node.connect() as connection:
                assert connection.ask("CONFIG", "SET", "maxmemory", size) == b"OK"


def test_users_come_with_a_snapshot(nodes):
    """The log is dropped behind a snapshot, so a node that was away gets its users from one."""
    limit_memory(nodes, "128mb")
    away = nodes.followers()[0]
    away.kill()
    set_user(nodes.leader(), "snapped", "on", ">p", "~*", "+get", "(~s:* +set)")
    value = "x" * (1 << 20)
    with nodes.leader().connect(30) as connection:
        for number in range(48):
            assert connection.call("SET", f"filler:{number % 4}", value).raw == OK
    away.start(nodes.directory / "away.log")
    users = agree(nodes, 60)
    assert any(line.startswith(b"user snapped on") for line in users)
    with log_in(away, "snapped", "p") as snapped:
        assert snapped.call("SET", "s:k", "v").raw == OK
        assert snapped.call("SET", "k", "v").raw == DENIED_KEY
    with away.connect() as connection:
        lines = connection.ask("INFO", "stats").decode().splitlines()
    # Counted by who has taken a snapshot in, since its process started.
    assert int(next(line for line in lines if line.startswith("sync_full:")).split(":")[1]) >= 1
    limit_memory(nodes, "0")


def test_the_default_user_can_lose_rights_and_get_them_back(nodes):
    admin = []
    set_user(nodes.leader(), "admin", "on", ">a", "~*", "+@all")
    agree(nodes)
    for node in nodes.nodes:
        admin.append(log_in(node, "admin", "a"))
    plain = [node.connect() for node in nodes.nodes]
    try:
        assert admin[1].call("ACL", "SETUSER", "default", "-get").raw == OK
        for connection in plain:
            wait_until("GET is refused", lambda c=connection: c.call("GET", "k").raw == DENIED, 10, pause=0.01)
            assert connection.call("SET", "k", "v").raw == OK
    finally:
        assert admin[0].call("ACL", "SETUSER", "default", "+@all").raw == OK
    for connection in plain:
        wait_until("GET is answered", lambda c=connection: c.call("GET", "k").raw != DENIED, 10, pause=0.01)


def test_a_password_of_the_log_takes_the_place_of_requirepass(tmp_path):
    with Cluster(tmp_path / "own", nodes=1, extra=("--requirepass", "own"), password="own") as cluster:
        node = cluster.nodes[0]
        with node.connect() as connection:
            assert connection.ask("AUTH", "own") == b"OK"
            digits = hashlib.sha256(b"own").hexdigest().encode()
            assert connection.ask("ACL", "LIST") == [b"user default on #" + digits + b" ~* &* +@all"]
            assert connection.call("CONFIG", "SET", "requirepass", "second").raw == OK
            assert connection.call("AUTH", "own").raw == WRONG
            assert connection.call("AUTH", "second").raw == OK
            assert connection.call("ACL", "SETUSER", "default", "resetpass", ">told").raw == OK
            assert connection.call("AUTH", "second").raw == WRONG
            assert connection.call("AUTH", "told").raw == OK
            refused = connection.call("CONFIG", "SET", "requirepass", "third").raw
            assert b"the passwords of the default user are in the log" in refused


@pytest.mark.timeout(120)
def test_a_password_is_rotated_as_in_redis(tmp_path):
    """The password of the nodes is kept beside the one that is added, until it is removed; on every node, and for ever."""

    def logs_in(node, password):
        with node.connect() as connection:
            return connection.call("AUTH", password).raw == OK

    def hold(cluster, works, fails):
        for node in cluster.nodes:
            wait_until(f"{node} takes them", lambda n=node: all(logs_in(n, word) for word in works), 20, pause=0.5)
            wait_until(f"{node} refuses", lambda n=node: not any(logs_in(n, word) for word in fails), 20, pause=0.5)

    with Cluster(tmp_path / "rotated", extra=("--requirepass", "pw1"), password="pw1") as cluster:
        with cluster.leader().connect() as admin:
            assert admin.call("ACL", "SETUSER", "default", ">pw2").raw == OK
            hold(cluster, ["pw1", "pw2"], [])
            for node in cluster.nodes:
                node.password = "pw2"
            assert admin.call("ACL", "SETUSER", "default", "<pw1").raw == OK
        hold(cluster, ["pw2"], ["pw1"])
        with cluster.nodes[0].connect() as connection:
            (line,) = connection.ask("ACL", "LIST")
        assert line.count(b"#") == 1 and hashlib.sha256(b"pw2").hexdigest().encode() in line, line
        logs = [path.read_text() for path in (tmp_path / "rotated/dev").glob("*.log")]
        assert any("requirepass of this node is not asked of anybody" in log for log in logs), cluster.logs()
