"""Caches, locks, channels and sessions: clients of nodes that stay, while the leader is killed."""

import asyncio
import time

import pytest
import redis
from redis.lock import Lock

ROUNDS = 60


def test_the_lock_of_redis_py_excludes_others(failover, in_background):
    """Read and write apart: only the lock keeps one increment from undoing another."""
    rounds, entered = 30, []

    def count(number):
        client = redis.Redis.from_url(failover.url(number % 2))
        for _ in range(rounds):
            with Lock(client, "guard", timeout=20, sleep=0.002):
                before = int(client.get("counter") or 0)
                client.set("counter", before + 1)
                entered.append(before + 1)

    for number in range(4):
        in_background(count, number)
    failover.wait_for("a part is done", lambda: len(entered) > 20)
    assert len(entered) < 4 * rounds
    failover.kill()
    failover.wait_for("all is done", lambda: len(entered) == 4 * rounds)
    assert entered == list(range(1, 4 * rounds + 1))
    with redis.Redis.from_url(failover.url()) as client:
        assert client.get("counter") == b"%d" % (4 * rounds) and not client.exists("guard")
        lock = Lock(client, "guard", timeout=0.2)
        assert lock.acquire(blocking=False) and lock.extend(5) and lock.owned()
        assert 4 < client.ttl("guard") <= 6
        lock.release()
        with pytest.raises(redis.exceptions.LockError):
            lock.release()


@pytest.fixture(scope="session")
def django():
    """Settings of a project that keeps cache and sessions in the store; where it is, the test says."""
    from django.conf import settings

    place = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": ["redis://127.0.0.1:1/2"]}
    settings.configure(CACHES={"default": place}, SESSION_ENGINE="django.contrib.sessions.backends.cache")
    import django

    django.setup()
    return settings


@pytest.fixture
def project(django, failover):
    from django.core.cache import caches
    from django.test.utils import override_settings

    place = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": failover.url(0, 2),
        "KEY_PREFIX": "shop",
    }
    with override_settings(CACHES={"default": place}):
        yield caches["default"]
        caches["default"].client.close()


def test_django_redis_loses_neither_entries_nor_sessions(project, failover):
    from django.contrib.sessions.backends.cache import SessionStore

    cache = project
    session = SessionStore()
    session["basket"] = []
    session.save()
    cache.set("visits", 0, timeout=None)
    stop = time.monotonic() + 20
    for number in range(ROUNDS):
        assert time.monotonic() < stop
        assert cache.incr("visits") == number + 1
        with cache.lock("basket", timeout=20):
            mine = SessionStore(session.session_key)
            mine["basket"] = [*mine["basket"], number]
            mine.save()
        cache.set_many({f"page:{number}": {"number": number}, f"part:{number}": b"\0raw"}, timeout=100)
        if number == ROUNDS // 3:
            failover.kill()
    assert SessionStore(session.session_key)["basket"] == list(range(ROUNDS))
    wanted = {f"page:{number}": {"number": number} for number in range(ROUNDS)}
    assert cache.get_many(wanted) == wanted
    assert sorted(cache.iter_keys("part:*")) == sorted(f"part:{number}" for number in range(ROUNDS))
    assert cache.delete_pattern("part:*") == ROUNDS and cache.keys("part:*") == []
    assert 50 < cache.ttl("page:1") <= 100 and cache.persist("page:1") and cache.ttl("page:1") is None
    assert cache.add("once", 1) and not cache.add("once", 2) and cache.touch("once", 5)
    assert cache.get_or_set("made", lambda: "value", 5) == "value"
    cache.clear()
    assert cache.get("page:1") is None


@pytest.mark.parametrize("layer", ["core", "pubsub"])
def test_channels_brings_messages_to_all_of_a_group(failover, layer):
    """A chat: three members on two nodes, and a message is in order and there once for each of them."""
    if layer == "core":
        from channels_redis.core import RedisChannelLayer as Layer
    else:
        from channels_redis.pubsub import RedisPubSubChannelLayer as Layer

    async def chat():
        layers = [Layer(hosts=[failover.url(number)]) for number in range(2)]
        members = []
        for number in range(3):
            host = layers[number % 2]
            name = await host.new_channel()
            await host.group_add("room", name)
            members.append((host, name))

        async def listen(host, name):
            return [(await host.receive(name))["text"] for _ in range(60)]

        tasks = [asyncio.create_task(listen(*member)) for member in members]
        for number in range(60):
            await layers[0].group_send("room", {"type": "chat.message", "text": number})
            await asyncio.sleep(0.01)
            if number == 20:
                await asyncio.to_thread(failover.kill)
        heard = await asyncio.wait_for(asyncio.gather(*tasks), 20)
        await layers[1].group_discard("room", members[1][1])
        for host in layers:
            await host.close_pools() if layer == "core" else await host.flush()
        return heard

    assert asyncio.run(chat()) == [list(range(60))] * 3
