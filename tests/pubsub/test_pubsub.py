"""Messages between clients of several nodes: who hears what, in which order, and who is cut off."""

import time

import pytest

from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until
from support.wire import Closed, Connection

MESSAGES = 500


@pytest.fixture
def mortal(tmp_path):
    """Three nodes that a test may harm."""
    with Cluster(tmp_path / "cluster") as cluster:
        yield cluster


def subscriber(node, *channels):
    connection = node.connect()
    for channel in channels:
        connection.send(encode(["SUBSCRIBE", channel]))
        assert connection.read().value.plain()[:2] == [b"subscribe", channel.encode()]
    return connection


def heard(connection, count, seconds=10.0):
    """The next messages: pairs of channel and text."""
    replies = [reply.value.plain() for reply in connection.read_all(count, seconds)]
    assert all(reply[0] == b"message" for reply in replies), replies[:3]
    return [(reply[1].decode(), reply[2].decode()) for reply in replies]


def is_silent(connection):
    """True if nothing has come beside the answer to a PING."""
    return connection.call("PING").value.plain() == [b"pong", b""]


def test_a_subscriber_at_each_node_hears_each_message_once_and_in_order(cluster):
    subscribers = [subscriber(node, "a", "b") for node in cluster.nodes for _ in range(2)]
    publishers = [node.connect() for node in cluster.nodes]
    wait_until(
        "every node knows of all subscribers",
        lambda: all(publisher.ask("PUBSUB", "NUMSUB", "a") == [b"a", 6] for publisher in publishers),
        5,
    )
    for number, publisher in enumerate(publishers):
        requests = [encode(["PUBLISH", "ab"[count % 2], f"{number} {count}"]) for count in range(MESSAGES)]
        publisher.send(b"".join(requests))
    for publisher in publishers:
        assert [reply.value.data for reply in publisher.read_all(MESSAGES)] == [6] * MESSAGES
    for one in subscribers:
        messages = heard(one, MESSAGES * len(publishers))
        for number in range(len(publishers)):
            texts = [(channel, text) for channel, text in messages if text.startswith(f"{number} ")]
            assert texts == [("ab"[count % 2], f"{number} {count}") for count in range(MESSAGES)]
        assert is_silent(one)
    for connection in subscribers + publishers:
        connection.close()


def test_what_is_published_is_heard_after_what_was_written(cluster):
    leader = cluster.leader()
    follower = cluster.followers(leader)[0]
    for writer, reader in ((leader, follower), (follower, leader)):
        with writer.connect() as writes, reader.connect() as reads, subscriber(reader, "written") as listens:
            for number in range(100):
                writes.send(encode(["SET", "k", number]) + encode(["PUBLISH", "written", number]))
                ((_, text),) = heard(listens, 1)
                assert int(reads.ask("GET", "k")) >= int(text)
            writes.read_all(200)


def test_others_go_on_when_a_node_dies_and_it_comes_back(mortal, tmp_path):
    victim = mortal.leader()
    left, right = mortal.followers(victim)
    with subscriber(left, "c") as here, right.connect() as publisher:
        publisher.ask("PUBLISH", "c", "before")
        assert heard(here, 1) == [("c", "before")]
        victim.kill()
        # No leader is needed for this.
        publisher.ask("PUBLISH", "c", "without")
        assert heard(here, 1) == [("c", "without")]
        victim.start(tmp_path / "again.log")
        wait_until("it answers", lambda: victim.role() != "none", 30)
        with subscriber(victim, "c") as there:
            wait_until(
                "it is known to listen", lambda: publisher.ask("PUBSUB", "NUMSUB", "c") == [b"c", 2], 10
            )
            assert publisher.ask("PUBLISH", "c", "after") == 2
            assert heard(here, 1) == heard(there, 1) == [("c", "after")]
        wait_until("it is known to have left", lambda: publisher.ask("PUBSUB", "NUMSUB", "c") == [b"c", 1], 10)


def test_a_node_alone_passes_messages_on_without_a_leader(mortal):
    one, *others = mortal.nodes
    with subscriber(one, "c") as here, one.connect() as publisher:
        for other in others:
            other.kill()
        assert publisher.ask("PUBLISH", "c", "alone") >= 1
        assert heard(here, 1) == [("c", "alone")]


def test_who_does_not_read_is_cut_off_and_others_go_on(cluster):
    node, other = cluster.nodes[:2]
    with node.connect() as admin, other.connect() as publisher:
        before = admin.ask("CONFIG", "GET", "client-output-buffer-limit")[1].decode()
        admin.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 4mb 0 0")
        slow, quick = subscriber(node, "c"), subscriber(node, "c")
        text = "x" * 100_000
        for number in range(150):
            publisher.ask("PUBLISH", "c", f"{number} {text}")
            ((_, message),) = heard(quick, 1)
            assert message == f"{number} {text}"
        wait_until(
            "the slow one is gone",
            lambda: admin.ask("CLIENT", "LIST", "TYPE", "pubsub").count(b"\n") == 1,
            10,
        )
        with pytest.raises((Closed, ConnectionError)):
            heard(slow, 150)
        assert b"client_output_buffer_limit_disconnections:0" not in admin.ask("INFO", "stats")
        pubsub = before[before.index("pubsub") :]
        admin.ask("CONFIG", "SET", "client-output-buffer-limit", pubsub)
        assert admin.ask("CONFIG", "GET", "client-output-buffer-limit")[1].decode() == before
        quick.close()


def test_who_reads_too_little_for_too_long_is_cut_off(single):
    node = single.nodes[0]
    with node.connect() as admin, subscriber(node, "soft") as slow:
        before = admin.ask("CONFIG", "GET", "client-output-buffer-limit")[1].decode()
        admin.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 1mb 2")
        for _ in range(80):
            admin.ask("PUBLISH", "soft", "x" * 100_000)
        started = time.monotonic()
        wait_until("it is gone", lambda: admin.ask("PUBSUB", "NUMSUB", "soft") == [b"soft", 0], 10)
        assert time.monotonic() - started > 1.0
        admin.ask("CONFIG", "SET", "client-output-buffer-limit", before[before.index("pubsub") :])
        slow.close()


def test_a_hundred_subscribers_share_each_message(cluster):
    subscribers = [subscriber(cluster.nodes[number % 3], "many") for number in range(100)]
    with cluster.nodes[0].connect() as publisher:
        wait_until("all are known", lambda: publisher.ask("PUBSUB", "NUMSUB", "many") == [b"many", 100], 5)
        for number in range(20):
            assert publisher.ask("PUBLISH", "many", f"{number}" + "y" * 5000) == 100
    for one in subscribers:
        assert [text.rstrip("y") for _, text in heard(one, 20)] == [str(number) for number in range(20)]
        one.close()


def test_a_user_who_loses_a_channel_loses_its_subscribers(single):
    node = single.nodes[0]
    with node.connect() as admin:
        admin.ask("ACL", "SETUSER", "listener", "on", "nopass", "+@all", "&a*", "&b")
        kept, lost, pattern = (node.connect() for _ in range(3))
        for one, words in ((kept, ["SUBSCRIBE", "b"]), (lost, ["SUBSCRIBE", "a1"]), (pattern, ["PSUBSCRIBE", "a*"])):
            one.ask("AUTH", "listener", "any")
            one.ask(*words)
        refused = Connection(node.address)
        refused.ask("AUTH", "listener", "any")
        for words in (["SUBSCRIBE", "c"], ["PSUBSCRIBE", "b*"], ["PUBLISH", "c", "x"]):
            assert refused.call(*words).raw.startswith(b"-NOPERM"), words
        assert admin.ask("ACL", "SETUSER", "listener", "resetchannels", "&b") == b"OK"
        for one in (lost, pattern):
            with pytest.raises((Closed, ConnectionError)):
                one.read(5.0)
        assert admin.ask("PUBLISH", "b", "still") == 1 and admin.ask("PUBLISH", "a1", "nobody") == 0
        assert kept.read().value.plain() == [b"message", b"b", b"still"]
        admin.ask("ACL", "DELUSER", "listener")
        with pytest.raises((Closed, ConnectionError)):
            kept.read(5.0)
        refused.close()


def test_what_one_connection_may_hold_is_bounded(single):
    node = single.nodes[0]
    with node.connect() as client:
        names = [f"channel-{number}" for number in range(32_768)]
        client.send(encode(["SUBSCRIBE", *names]))
        assert client.read_all(len(names), 30)[-1].value.plain()[2] == len(names)
        assert b"at most 32768" in client.call("SUBSCRIBE", "one-more").raw
        assert client.call("PSUBSCRIBE", "*").raw.startswith(b"-ERR a connection")
    with node.connect() as client:
        assert b"at most 4096 bytes" in client.call("PSUBSCRIBE", "x" * 4097).raw
        big = "x" * (32 << 20)
        assert client.call("PUBLISH", "c", big, seconds=30).raw.startswith(b"-ERR a channel and its message")
        wait_until("its subscriptions are gone", lambda: client.ask("PUBSUB", "CHANNELS", "channel-*") == [], 10)
