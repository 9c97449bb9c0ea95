"""Deadlines of hash fields as redis-py asks for them, at a leader and at a follower.

The server that the others are compared with, 7.0, does not have these commands: what is expected here is what the
documentation of Redis 7.4 and 8.0 says.
"""

import pytest
import redis
from redis.commands.core import HashDataPersistOptions

from support.waiting import wait_until


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def client(request, entry):
    host, port = entry
    client = redis.Redis(host=host, port=port, decode_responses=True, socket_timeout=20, protocol=request.param)
    yield client
    client.close()


def test_fields_get_deadlines_and_lose_them(client):
    assert client.hset("h", mapping={"a": "1", "b": "2", "c": "3"}) == 3
    assert client.hexpire("h", 100, "a", "nothing") == [1, -2]
    assert client.hexpire("h", 200, "a", "b", gt=True) == [1, 0]
    assert client.hexpire("h", 50, "b", nx=True) == [1] and client.hexpire("h", 60, "b", nx=True) == [0]
    assert client.hpexpire("h", 40_000, "b", lt=True) == [1] and client.hexpire("h", 60, "c", xx=True) == [0]
    assert 190 <= client.httl("h", "a")[0] <= 200 and 30_000 <= client.hpttl("h", "b")[0] <= 40_000
    assert client.httl("h", "c", "nothing") == [-1, -2]
    assert client.hexpireat("h", 4_102_444_800, "c") == [1] and client.hexpiretime("h", "c") == [4_102_444_800]
    assert client.hpexpireat("h", 4_102_444_800_123, "c") == [1]
    assert client.hpexpiretime("h", "c") == [4_102_444_800_123] and client.hexpiretime("h", "c") == [4_102_444_801]
    assert client.hpersist("h", "a", "a", "nothing") == [1, -1, -2]
    client.hset("h", "b", "new")
    client.hincrby("h", "c", 4)
    assert client.httl("h", "a", "b") == [-1, -1] and client.httl("h", "c")[0] > 0
    assert client.hexpireat("h", 1, "a") == [2] and sorted(client.hgetall("h")) == ["b", "c"]
    assert client.hpexpire("h", 0, "b", "c") == [2, 2] and client.exists("h") == 0


def test_a_field_goes_when_its_time_has_come(client):
    client.hset("h", mapping={"short": "1", "long": "2"})
    assert client.hpexpire("h", 300, "short") == [1]
    wait_until("the field is gone", lambda: not client.hexists("h", "short"))
    assert client.hgetall("h") == {"long": "2"} and client.hlen("h") == 1 and client.hkeys("h") == ["long"]
    assert client.hscan("h", no_values=True)[1] == ["long"]
    assert client.hmget("h", "short", "long") == [None, "2"] and client.ttl("h") == -1
    assert client.hpexpire("h", 300, "long") == [1]
    wait_until("the hash is gone", lambda: client.exists("h") == 0)
    assert client.dbsize() == 0


def test_fields_are_read_and_written_with_deadlines(client):
    assert client.hsetex("h", mapping={"a": "1", "b": "2"}, ex=100) == 1
    assert all(90 <= left <= 100 for left in client.httl("h", "a", "b"))
    assert client.hgetex("h", "a", "nothing", persist=True) == ["1", None]
    assert client.hgetex("h", "b", pxat=4_102_444_800_000) == ["2"]
    assert client.hpexpiretime("h", "a", "b") == [-1, 4_102_444_800_000]
    assert client.hsetex("h", "b", "3", data_persist_option=HashDataPersistOptions.FNX) == 0
    assert client.hsetex("h", "b", "3", data_persist_option=HashDataPersistOptions.FXX, keepttl=True) == 1
    assert client.hpexpiretime("h", "b") == [4_102_444_800_000] and client.hget("h", "b") == "3"
    assert client.hgetdel("h", "a", "b", "b") == ["1", "3", None] and client.exists("h") == 0


def test_deadlines_go_where_the_value_goes(client, entry):
    client.hsetex("h", mapping={"a": "1", "b": "2"}, pxat=4_102_444_800_000)
    client.hset("h", "c", "3")
    client.copy("h", "copy")
    client.rename("h", "moved")
    host, port = entry
    with redis.Redis(host=host, port=port, socket_timeout=20) as raw:
        raw.restore("restored", 0, raw.dump("moved"))
    for key in ("copy", "moved", "restored"):
        assert client.hpexpiretime(key, "a", "b", "c") == [4_102_444_800_000, 4_102_444_800_000, -1], key
        assert client.hgetall(key) == {"a": "1", "b": "2", "c": "3"}


def test_wrong_requests_are_refused_in_the_words_of_redis(client):
    client.set("s", "x")
    for words, text in [
        ("HEXPIRE h 1 FIELDS 0 a", "Parameter `numFields` should be greater than 0"),
        ("HEXPIRE h 1 FIELDS 2 a", "The `numfields` parameter must match the number of arguments"),
        ("HEXPIRE h -1 FIELDS 1 a", "invalid expire time, must be >= 0"),
        ("HTTL h 1 a b", "Mandatory argument FIELDS is missing or not at the right position"),
        ("HGETDEL h FIELDS 0 a", "Number of fields must be a positive integer"),
        ("HSETEX h FIELDS 1 a", "wrong number of arguments for 'hsetex' command"),
        ("HSETEX h PX 1 EX 1 FIELDS 1 a b", "Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"),
        ("HPERSIST s FIELDS 1 a", "Operation against a key holding the wrong kind of value"),
    ]:
        with pytest.raises(redis.ResponseError, match=text.replace("(", ".")):
            client.execute_command(*words.split())
