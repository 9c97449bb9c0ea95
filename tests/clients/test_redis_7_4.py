"""Options of Redis 7.4 which the server that the others are compared with, 7.0, does not have."""

import threading
import time

import pytest
import redis


@pytest.fixture
def client(entry):
    host, port = entry
    client = redis.Redis(host=host, port=port, decode_responses=True, socket_timeout=20)
    yield client
    client.close()


def refused(client, *words):
    with pytest.raises(redis.ResponseError) as refusal:
        client.execute_command(*words)
    return str(refusal.value)


def test_xread_tells_the_last_entry(client):
    for number in range(1, 4):
        client.xadd("s", {"n": number}, id=f"{number}-0")
    assert client.xread({"s": "+"}) == [["s", [("3-0", {"n": "3"})]]]
    assert client.xread({"s": "+", "nothing": "+"}, count=5) == [["s", [("3-0", {"n": "3"})]]]
    client.xdel("s", "3-0")
    assert client.xread({"s": "+"}, block=5_000) == [["s", [("2-0", {"n": "2"})]]]
    client.xadd("zeros", {"n": 0}, id="0-1")
    assert client.xread({"zeros": "+"}) == [["zeros", [("0-1", {"n": "0"})]]]
    client.xtrim("s", maxlen=0, approximate=False)
    assert client.xread({"s": "+"}) == []
    client.xgroup_create("s", "g")
    assert "The + ID is meaningless" in refused(client, "XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", "+")


def test_xread_of_the_last_entry_waits_for_one(client, entry):
    client.xadd("s", {"n": 1}, id="7-0")
    client.xdel("s", "7-0")
    found = []
    waiting = threading.Thread(target=lambda: found.append(client.xread({"s": "+", "absent": "+"}, block=20_000)))
    waiting.start()
    with redis.Redis(host=entry[0], port=entry[1], socket_timeout=20) as other:
        deadline = time.monotonic() + 10
        while not other.info("clients")["blocked_clients"]:
            assert time.monotonic() < deadline, "it never waits"
            time.sleep(0.02)
        other.xadd("s", {"n": 2}, id="8-0")
    waiting.join(20)
    assert found == [[["s", [("8-0", {"n": "2"})]]]]


def test_clients_of_an_age_are_killed(client):
    for words, text in [(("x",), "maxage is not an integer or out of range"), (("0",), "maxage should be greater than 0")]:
        assert text in refused(client, "CLIENT", "KILL", "MAXAGE", *words)
    old = client.client()
    number = old.client_id()
    try:
        assert client.execute_command("CLIENT", "KILL", "ID", number, "MAXAGE", 3600) == 0
        time.sleep(1.2)
        young = client.client()
        try:
            asked = ("CLIENT", "KILL", "MAXAGE", 1, "SKIPME", "yes", "ID")
            assert young.execute_command(*asked, young.client_id()) == 0
            assert young.execute_command(*asked, number) == 1
        finally:
            young.close()
    finally:
        old.close()
