"""The level at which a connection reads follows its user, on every node, without a command of the connection."""

import contextlib
import threading

import pytest

from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until

OK = b"+OK\r\n"
RULES = ("on", ">p", "~*", "+@all", "&*")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("levels")) as cluster:
        yield cluster


def set_user(node, name, *rules):
    with node.connect() as connection:
        assert connection.call("ACL", "SETUSER", name, *rules).raw == OK


def log_in(node, name, password="p"):
    connection = node.connect(20)
    wait_until(f"{name} can log in at {node}", lambda: connection.call("AUTH", name, password).raw == OK, 10, pause=0.02)
    return connection


def reads_old(connection):
    """Whether replicas may answer its reads by themselves, by the flag of Redis."""
    line = connection.ask("CLIENT", "INFO").decode()
    flags = next(field for field in line.split() if field.startswith("flags="))
    return "r" in flags.removeprefix("flags=")


def rules_of(node, name):
    with node.connect() as connection:
        return next(line for line in connection.ask("ACL", "LIST") if line.startswith(f"user {name} ".encode()))


def test_a_profile_is_shown_and_reset_and_what_is_not_there_is_refused_by_name(nodes):
    set_user(nodes.leader(), "shown", *RULES, "read=eventual", "write=quorum")
    for node in nodes.nodes:
        wait_until("it has the user", lambda n=node: b"user shown" in b"".join(n.connect().ask("ACL", "LIST")), 10)
        assert b" read=eventual ~* &* +@all" in rules_of(node, "shown")
    with nodes.leader().connect() as connection:
        reply = connection.ask("ACL", "GETUSER", "shown")
        assert dict(zip(reply[::2], reply[1::2], strict=True))[b"consistency"] == b"read=eventual"
        for rule, why in (
            ("read=bounded:0ms", b"from 1ms to 10s"),
            ("read=origin", b"not in this release"),
            ("read-floor=origin", b"not in this release"),
            ("write=async", b"the only one is quorum"),
            ("write=all", b"the only one is quorum"),
            ("read=fast", b"take linearizable, session, bounded:DURATION"),
            ("read-floor=linearizable", b"raise read= first"),
        ):
            reply = connection.call("ACL", "SETUSER", "shown", rule).raw
            assert reply.startswith(f"-ERR Error in ACL SETUSER modifier '{rule}'".encode()) and why in reply, reply
        assert connection.call("ACL", "SETUSER", "shown", "reset").raw == OK
        assert len(connection.ask("ACL", "GETUSER", "shown")) == 12
    assert b"read" not in rules_of(nodes.leader(), "shown").replace(b"user shown", b"")


def test_connections_follow_their_user_unless_they_have_said_otherwise(nodes):
    set_user(nodes.leader(), "app", *RULES)
    silent = [log_in(node, "app") for node in nodes.nodes]
    asked = [log_in(node, "app+eventual") for node in nodes.nodes]
    assert [reads_old(one) for one in silent + asked] == [False] * 3 + [True] * 3
    assert asked[0].ask("ACL", "WHOAMI") == b"app"
    set_user(nodes.followers()[0], "app", "read=eventual")
    for connection in silent:
        wait_until("the change holds", lambda c=connection: reads_old(c), 10, pause=0.02)
        assert connection.call("READWRITE").raw == OK and not reads_old(connection)
    with nodes.leader().connect(20) as later:
        assert later.call("HELLO", "3", "AUTH", "app", "p").raw[:1] == b"%" and reads_old(later)
        assert later.call("RESET").raw == b"+RESET\r\n" and not reads_old(later)
        assert later.call("AUTH", "app+linearizable", "p").raw == OK and not reads_old(later)
        assert later.call("AUTH", "app+bounded:200ms", "p").raw == OK and reads_old(later)
        refused = later.call("AUTH", "app+origin", "p").raw
        assert refused.startswith(b"-ERR this level of reads is not in this release"), refused
        assert later.call("AUTH", "app+bounded:0s", "p").raw.startswith(b"-ERR the bound of reads")
        assert later.call("AUTH", "app+bounded", "wrong").raw.startswith(b"-WRONGPASS")
        assert later.call("AUTH", "app+nothing", "p").raw.startswith(b"-WRONGPASS")
    # A floor is stronger than whatever was asked for.
    set_user(nodes.leader(), "app", "read=linearizable", "read-floor=linearizable")
    for connection in asked:
        wait_until("the floor holds", lambda c=connection: not reads_old(c), 10, pause=0.02)
        assert connection.call("READONLY").raw == OK and not reads_old(connection)
    for connection in silent + asked:
        connection.close()


@pytest.mark.timeout(120)
def test_a_node_left_alone_answers_those_whose_user_reads_old_data(tmp_path):
    with Cluster(tmp_path) as cluster:
        for name, rule in (("far", "read=eventual"), ("near", "read=linearizable"), ("bank", "read-floor=linearizable")):
            set_user(cluster.leader(), name, *RULES, rule)
        with cluster.leader().connect() as connection:
            assert connection.ask("SET", "k", "v") == b"OK"
        lone, *others = cluster.followers() + [cluster.leader()]
        with log_in(lone, "far") as far, log_in(lone, "near") as near, log_in(lone, "bank") as bank:
            assert bank.call("READONLY").raw == OK
            wait_until("it has the value", lambda: far.ask("GET", "k") == b"v", 10)
            for node in others:
                node.kill()
            assert far.ask("GET", "k") == b"v"
            for strict in (near, bank):
                assert strict.call("GET", "k").raw.startswith(b"-NOLEADER")
            for node in others:
                node.start(tmp_path / f"{node.name}.log")
            wait_until("it serves again", lambda: near.call("GET", "k").raw == b"$1\r\nv\r\n", 30)
        # They come from the log of who was started again.
        for node in cluster.nodes:
            assert b" read=eventual " in rules_of(node, "far")
            assert b" read-floor=linearizable " in rules_of(node, "bank")


@contextlib.contextmanager
def counting(node, key):
    """Somebody counts a key up at this node, all the time."""
    ends = threading.Event()

    def count():
        with node.connect(20) as connection:
            while not ends.wait(0.001):
                connection.call("INCR", key)

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(20)


@pytest.mark.parametrize("level", ["bounded:10s", "eventual", "session"])
def test_a_weaker_read_is_not_older_than_the_watch_before_it_in_the_pipeline(nodes, level):
    leader = nodes.leader()
    follower = nodes.followers(leader)[0]
    key = f"watched:{level}"
    executed = 0
    with counting(leader, key), follower.connect(20) as connection:
        assert connection.call("REPLIGO.CONSISTENCY", "READ", level).raw == OK
        for _ in range(400):
            connection.send(encode(("WATCH", key)) + encode(("GET", key)))
            shown = connection.read_all(2, 20)[1].value.data
            connection.send(encode(("MULTI",)) + encode(("GET", key)) + encode(("EXEC",)))
            block = connection.read_all(3, 20)[2]
            if block.raw not in (b"*-1\r\n", b"_\r\n"):
                executed += 1
                assert block.value.plain() == [shown], f"GET showed {shown}, and nothing had changed: {block.raw}"
    assert executed > 20


def test_reads_of_one_pipeline_go_forward_whatever_their_levels(nodes):
    leader = nodes.leader()
    follower = nodes.followers(leader)[0]
    with counting(leader, "forward"), follower.connect(20) as connection:
        with leader.connect(20) as other:
            token = other.ask("REPLIGO.SESSION")
        levels = ("linearizable", "session", "bounded:10s", "eventual", "linearizable")
        for _ in range(200):
            requests = encode(("REPLIGO.SESSION", token))
            for level in levels:
                requests += encode(("REPLIGO.CONSISTENCY", "READ", level)) + encode(("GET", "forward"))
            connection.send(requests)
            replies = connection.read_all(1 + 2 * len(levels), 20)[2::2]
            numbers = [int(reply.value.data or 0) for reply in replies]
            assert numbers == sorted(numbers), numbers
