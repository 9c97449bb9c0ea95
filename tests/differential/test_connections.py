"""What concerns other connections, where the two sides know a client under different numbers and ports."""

import pytest

from support.nodes import Cluster
from support.redis_server import RedisServer
from support.wire import Closed, Connection

from .conftest import modes


@pytest.fixture
def sides(request, redis_server):
    """Addresses of one server of each kind."""
    if "redis" in modes():
        return request.getfixturevalue("second_redis").address, redis_server.address
    return request.getfixturevalue("single").nodes[0].address, redis_server.address


def is_closed(connection):
    """True if the server has hung up on this connection."""
    try:
        connection.call("PING", seconds=5.0)
    except (Closed, ConnectionError):
        return True
    return False


def address_of(connection):
    host, port = connection.socket.getsockname()[:2]
    return f"{host}:{port}"


# What is said to kill, given the victim's number and address, and whether the killer itself must survive.
KILLS = {
    "by number": lambda number, address, _: ["ID", number],
    "by number as asked by later versions": lambda number, address, _: ["ID", number, "SKIPME", "no"],
    "by address": lambda number, address, _: ["ADDR", address],
    "by address in the old form": lambda number, address, _: [address],
    "by number and address": lambda number, address, _: ["ID", number, "ADDR", address],
    "by number and another address": lambda number, address, _: ["ID", number, "ADDR", "1.2.3.4:5"],
    "by number and user": lambda number, address, _: ["ID", number, "USER", "default"],
    "by number and type": lambda number, address, _: ["TYPE", "normal", "ID", number],
    "by number and another type": lambda number, address, _: ["ID", number, "TYPE", "pubsub"],
    "itself, skipped": lambda number, address, own: ["ID", own],
    "itself, not skipped": lambda number, address, own: ["ID", own, "SKIPME", "no"],
}


@pytest.mark.parametrize("form", KILLS)
def test_clients_are_killed_as_in_redis(sides, form):
    seen = []
    for address in sides:
        with Connection(address) as killer, Connection(address) as victim:
            number, own = victim.ask("CLIENT", "ID"), killer.ask("CLIENT", "ID")
            words = KILLS[form](number, address_of(victim), own)
            reply = killer.call("CLIENT", "KILL", *words).raw
            seen.append((reply, is_closed(victim), is_closed(killer)))
    assert seen[0] == seen[1], f"CLIENT KILL {form}: repligo {seen[0]}, redis {seen[1]}"


def test_one_client_is_listed_by_its_number(sides):
    seen = []
    for address in sides:
        with Connection(address) as one, Connection(address) as other:
            numbers = one.ask("CLIENT", "ID"), other.ask("CLIENT", "ID")
            other.ask("CLIENT", "SETNAME", "other")
            lines = one.ask("CLIENT", "LIST", "ID", numbers[1], 999_999, numbers[0]).decode().splitlines()
            rows = [dict(word.split("=", 1) for word in line.split()) for line in lines]
            chosen = ("name", "db", "sub", "multi", "cmd", "user", "resp", "flags")
            seen.append([[row[field] for field in chosen] + [row["addr"] != row["laddr"]] for row in rows])
    assert seen[0] == seen[1]


def test_one_connection_too_many_is_told_so(tmp_path_factory):
    limit = 3
    options = ("--maxclients", str(limit))
    theirs = RedisServer(tmp_path_factory.mktemp("few-redis"), *options)
    ours = Cluster(tmp_path_factory.mktemp("few"), nodes=1, extra=options)
    seen = []
    try:
        for address in (ours.nodes[0].address, theirs.address):
            held = [Connection(address) for _ in range(limit)]
            assert all(connection.ask("PING") == b"PONG" for connection in held)
            with Connection(address) as refused:
                seen.append((refused.read().raw, is_closed(refused)))
            for connection in held:
                connection.close()
    finally:
        ours.stop()
        theirs.stop()
    assert seen[0] == seen[1]
