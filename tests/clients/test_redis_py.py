"""redis-py with its default handshake, in both protocols."""

import threading

import pytest
import redis


@pytest.fixture(params=[None, 2, 3], ids=["default", "RESP2", "RESP3"])
def client(request, entry):
    host, port = entry
    options = {} if request.param is None else {"protocol": request.param}
    client = redis.Redis(host=host, port=port, decode_responses=True, socket_timeout=10, **options)
    yield client
    client.close()


def test_strings_and_keys(client):
    assert client.ping() is True
    assert client.set("k", "välue") is True
    assert client.get("k") == "välue"
    assert client.get("absent") is None
    assert client.set("k", "w", nx=True) is None
    assert client.set("k", "w", get=True, ex=100) == "välue"
    assert 95 <= client.ttl("k") <= 100
    assert client.mset({"a": 1, "b": 2}) is True
    assert client.mget("a", "absent", "b") == ["1", None, "2"]
    assert client.incr("a", 5) == 6 and client.decr("a") == 5
    assert client.incrbyfloat("f", 1.5) == 1.5
    assert client.append("b", "xyz") == 4 and client.getrange("b", 0, 1) == "2x"
    assert client.exists("a", "b", "absent") == 2
    assert client.rename("b", "c") is True and client.type("c") == "string"
    assert client.expire("c", 50) is True and client.persist("c") is True
    assert client.getdel("c") == "2xyz" and client.delete("a", "c") == 1
    assert client.object("encoding", "k") == "embstr"
    assert sorted(client.keys("*")) == ["f", "k"] and client.dbsize() == 2


def test_bytes_pass_unchanged(entry):
    host, port = entry
    value = bytes(range(256)) * 500
    with redis.Redis(host=host, port=port) as client:
        assert client.set(b"\x00\xff\r\n", value) is True
        assert client.get(b"\x00\xff\r\n") == value
        assert client.keys() == [b"\x00\xff\r\n"]


def test_locks_and_scripts(client):
    lock = client.lock("a-lock", timeout=20)
    assert lock.acquire(blocking=False) and lock.owned()
    other = client.lock("a-lock", timeout=20)
    assert not other.acquire(blocking=False)
    assert lock.extend(10) and 20 < client.ttl("a-lock") <= 30
    assert lock.reacquire() and client.ttl("a-lock") <= 20
    lock.release()
    assert client.get("a-lock") is None
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        other.acquire(blocking=False)
        client.set("a-lock", "somebody else")
        other.release()
    # As BullMQ and RQ do it: many keys, MessagePack and JSON inside, one move from list to list.
    move = client.register_script("""
        local job = redis.call("RPOPLPUSH", KEYS[1], KEYS[2])
        if not job then return redis.status_reply("EMPTY") end
        local id = cjson.decode(job).id
        redis.call("HSET", KEYS[3] .. id, "state", "active", "at", ARGV[1])
        return {id, redis.call("HGET", KEYS[3] .. id, "state"), cmsgpack.unpack(cmsgpack.pack({1, 2}))[2]}
    """)
    client.lpush("wait", '{"id":"7"}')
    assert move(keys=["wait", "active", "job:"], args=[5]) == ["7", "active", 2]
    assert move(keys=["wait", "active", "job:"], args=[5]) == "EMPTY"
    assert client.script_exists(move.sha) == [True]
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE.*on @user_script:1"):
        client.eval('return redis.call("INCR", KEYS[1])', 1, "active")


def test_pipelines(client):
    with client.pipeline(transaction=False) as pipeline:
        for number in range(500):
            pipeline.set(f"k{number}", number).get(f"k{number}")
        replies = pipeline.execute()
    assert replies == [reply for number in range(500) for reply in (True, str(number))]
    with client.pipeline(transaction=False) as pipeline:
        replies = pipeline.set("s", "text").incr("s").get("s").execute(raise_on_error=False)
    assert replies[0] is True and isinstance(replies[1], redis.ResponseError) and replies[2] == "text"


def test_transactions(client):
    with client.pipeline() as pipeline:
        assert pipeline.set("k", 1).incr("k").get("k").execute() == [True, 2, "2"]
    with client.pipeline() as pipeline:
        pipeline.watch("k")
        seen = int(pipeline.get("k"))
        client.set("k", 100)
        pipeline.multi()
        pipeline.set("k", seen + 1)
        with pytest.raises(redis.WatchError):
            pipeline.execute()
    assert client.get("k") == "100"


def test_optimistic_locking_loses_no_increment(client):
    """Several clients count by WATCH, GET, MULTI, SET, EXEC, as the library's documentation shows."""

    def add(pipeline):
        count = int(pipeline.get("count") or 0)
        pipeline.multi()
        pipeline.set("count", count + 1)

    def work():
        for _ in range(20):
            client.transaction(add, "count")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert client.get("count") == "80"


def test_scan_iterates_over_everything(client):
    client.mset({f"user:{number}": number for number in range(1000)})
    client.set("other", 1)
    assert sorted(client.scan_iter(match="user:*", count=50)) == sorted(f"user:{number}" for number in range(1000))
    assert len(list(client.scan_iter())) == 1001
    assert list(client.scan_iter(match="nothing*")) == []
    assert len(list(client.scan_iter(_type="string"))) == 1001


def test_introspection(client):
    assert client.info()["redis_mode"] == "standalone"
    assert client.info("server")["tcp_port"] == client.connection_pool.connection_kwargs["port"]
    assert client.config_get("maxmemory") == {"maxmemory": "0"}
    assert client.client_setname("tester") is True and client.client_getname() == "tester"
    assert isinstance(client.client_id(), int)
    assert any(row["name"] == "tester" for row in client.client_list())
    assert len(client.time()) == 2
    assert client.command_count() > 50 and "get" in client.command()
    assert client.role()[0] in ("master", b"master", "slave", b"slave")
    assert client.memory_usage("absent") is None
    assert client.slowlog_get() is not None and client.acl_whoami() == "default"


def test_errors_are_of_the_right_class_and_leave_the_connection_usable(client):
    client.set("k", "text")
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        client.incr("k")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.execute_command("NOTHING")
    with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
        client.execute_command("GET")
    assert client.get("k") == "text"


def test_databases(entry):
    host, port = entry
    with redis.Redis(host=host, port=port, db=15) as last, redis.Redis(host=host, port=port) as first:
        last.set("k", "v")
        assert first.get("k") is None and last.get("k") == b"v"
        last.flushdb()
        assert last.dbsize() == 0


def test_a_pool_shared_by_threads(client):
    failures = []

    def work(name):
        try:
            for number in range(100):
                client.set(f"{name}:{number}", number)
                if client.get(f"{name}:{number}") != str(number):
                    failures.append((name, number))
        except redis.RedisError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"thread{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == [] and client.dbsize() == 800
