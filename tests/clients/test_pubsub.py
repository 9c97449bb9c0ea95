"""Publish and subscribe as redis-py does it, in both protocols, with the publisher at another node."""

import threading

import pytest
import redis


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def clients(request, entry, cluster):
    """A client of the node that is entered, and one of another node."""
    options = {"decode_responses": True, "socket_timeout": 10, "protocol": request.param}
    host, port = entry
    other = next(node for node in cluster.nodes if node.address != f"{host}:{port}")
    there, _, number = other.address.rpartition(":")
    one, two = (redis.Redis(host=host, port=port, **options), redis.Redis(host=there, port=int(number), **options))
    yield one, two
    one.close()
    two.close()


def messages(pubsub, count):
    """The next messages that are not confirmations."""
    found = []
    for _ in range(count * 100):
        message = pubsub.get_message(ignore_subscribe_messages=True, timeout=0.1)
        if message is not None:
            found.append((message["type"], message["pattern"], message["channel"], message["data"]))
        if len(found) == count:
            break
    return found


def test_messages_of_another_node_arrive(clients):
    here, there = clients
    with here.pubsub() as pubsub:
        pubsub.subscribe("news")
        pubsub.psubscribe("n*")
        for _ in range(2):
            assert pubsub.get_message(timeout=5)["type"] in ("subscribe", "psubscribe")
        there.publish("news", "välue")
        there.publish("nothing", "x")
        assert messages(pubsub, 3) == [
            ("message", None, "news", "välue"),
            ("pmessage", "n*", "news", "välue"),
            ("pmessage", "n*", "nothing", "x"),
        ]
        assert pubsub.ping() is True or pubsub.ping() is None
        pubsub.unsubscribe()
        pubsub.punsubscribe()


def test_a_thread_handles_messages(clients):
    here, there = clients
    heard, done = [], threading.Event()

    def handle(message):
        heard.append(message["data"])
        if message["data"] == "last":
            done.set()

    with here.pubsub() as pubsub:
        pubsub.subscribe(**{"jobs": handle})
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"
        thread = pubsub.run_in_thread(sleep_time=0.01, daemon=True)
        with there.pipeline() as pipeline:
            for number in range(100):
                pipeline.set("job", number).publish("jobs", number)
            pipeline.publish("jobs", "last").execute()
        assert done.wait(10)
        thread.stop()
        thread.join(10)
    assert heard == [str(number) for number in range(100)] + ["last"]


def test_shard_channels(clients):
    here, there = clients
    with here.pubsub() as pubsub:
        pubsub.ssubscribe("orders")
        assert pubsub.get_message(timeout=5)["type"] == "ssubscribe"
        there.execute_command("SPUBLISH", "orders", "one")
        assert messages(pubsub, 1) == [("smessage", None, "orders", "one")]
        pubsub.sunsubscribe()
