"""Reads at level session: no older than what the connection was told, with the tokens that it took in, on any node."""

import pytest

from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until

OK = b"+OK\r\n"


def token_of(connection):
    return connection.ask("REPLIGO.SESSION")


def level_of(connection):
    reply = connection.ask("REPLIGO.CONSISTENCY")
    return dict(zip(reply[::2], reply[1::2], strict=True))[b"read"]


def listens(node):
    try:
        with node.connect(5):
            return True
    except OSError:
        return False


def fields(token):
    """Cluster, and what follows it: generation, shard, term, index."""
    data = bytes.fromhex(token.decode())[:-4]
    numbers, value, shift = [], 0, 0
    for byte in data[9:]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers, value, shift = [*numbers, value], 0, 0
    return data[1:9], numbers


def token(cluster, numbers):
    data = bytearray(b"\x01" + cluster)
    for number in numbers:
        while number >= 0x80:
            data.append(number & 0x7F | 0x80)
            number >>= 7
        data.append(number)
    checksum = 0x811C9DC5
    for byte in data:
        checksum = (checksum ^ byte) * 0x01000193 & 0xFFFFFFFF
    return (data + checksum.to_bytes(4, "little")).hex().encode()


def test_what_was_told_at_one_node_is_seen_at_another_that_was_away(tmp_path):
    with Cluster(tmp_path) as cluster, cluster.leader().connect() as leader:
        follower = cluster.followers()[0]
        for number in range(5):
            value = str(number).encode()
            with follower.connect(20) as other:
                assert other.call("PING").raw[:1] == b"+"
                follower.pause()
                assert leader.ask("SET", "k", value) == b"OK"
                carried = token_of(leader)
                other.send(encode(["REPLIGO.SESSION", carried]) + encode(["GET", "k"]) * 2)
                follower.resume()
                assert other.read().raw == OK
                assert [other.read().value.data for _ in range(2)] == [value, value]
                assert level_of(other) == b"session"
                # What it has read there it will not lose either.
                back = token_of(other)
                assert fields(back)[1][3] >= fields(carried)[1][3]
        assert leader.call("REPLIGO.SESSION", back).raw == OK and leader.ask("GET", "k") == b"4"
        # A block is one place in the log, so its token comes behind it.
        assert leader.call("MULTI").raw == OK
        refused = leader.call("REPLIGO.SESSION").raw
        assert refused.startswith(b"-ERR ") and b"behind EXEC" in refused
        assert leader.call("EXEC").raw.startswith(b"-EXECABORT ")
        refused = leader.call("EVAL", "return redis.call('REPLIGO.SESSION')", "0").raw
        assert refused.startswith(b"-ERR ") and b"script" in refused, refused


def test_a_token_that_says_nothing_here_is_refused_and_changes_nothing(tmp_path):
    with Cluster(tmp_path) as cluster, cluster.leader().connect() as leader:
        assert leader.ask("SET", "k", "v") == b"OK"
        right = token_of(leader)
        origin, (generation, shard, term, index) = fields(right)
        assert token(origin, [generation, shard, term, index]) == right
        other = bytes([origin[0] ^ 1]) + origin[1:]
        with cluster.followers()[0].connect(20) as near:
            for wrong, start, why in (
                (b"garbage", b"-ERR ", b"no token"),
                (right[:-1], b"-ERR ", b"no token"),
                (token(other, [generation, shard, term, index]), b"-ERR ", b"another cluster"),
                (token(origin, [generation, shard, term, index + (1 << 45)]), b"-ERR ", b"can exist"),
                (token(origin, [generation - 1, shard, term, index]), b"-LOSTWRITE ", b"generation"),
                (token(origin, [generation + 1, shard, term, index]), b"-STALE ", b"generation"),
            ):
                refused = near.call("REPLIGO.SESSION", wrong).raw
                assert refused.startswith(start) and why in refused, refused
                assert level_of(near) == b"linearizable"
            # An entry that never was: nothing that is known here speaks against it, until the leader is asked.
            assert near.call("REPLIGO.SESSION", token(origin, [generation, shard, term, index + 1000])).raw == OK
            for _ in range(2):
                assert near.call("GET", "k").raw.startswith(b"-LOSTWRITE ")
            assert near.call("REPLIGO.CONSISTENCY", "READ", "linearizable").raw == OK
            assert near.ask("GET", "k") == b"v"
            assert near.call("REPLIGO.CONSISTENCY", "READ", "session").raw == OK
            # It is still what this connection has brought along; a new one is free of it.
            assert near.call("GET", "k").raw.startswith(b"-LOSTWRITE ")
        with cluster.followers()[0].connect(20) as near:
            assert near.call("REPLIGO.SESSION", right).raw == OK and near.ask("GET", "k") == b"v"


def test_users_and_logins_ask_for_the_level_and_floors_are_met_beside_it(tmp_path):
    with Cluster(tmp_path) as cluster, cluster.leader().connect() as leader:
        rules = ("on", ">p", "~*", "+@all", "read=session+bounded:200ms", "read-floor=bounded:1s")
        assert leader.call("ACL", "SETUSER", "app", *rules).raw == OK
        with cluster.followers()[0].connect(20) as app:
            wait_until("the user is there", lambda: app.call("AUTH", "app", "p").raw == OK, 10, pause=0.02)
            assert level_of(app) == b"session+bounded:200ms"
            for name, level in (("app+session", b"session+bounded:1s"), ("app+session+bounded:5ms", b"session+bounded:5ms")):
                assert app.call("AUTH", name, "p").raw == OK and level_of(app) == level
            assert app.call("SET", "k", "v").raw == OK and app.ask("GET", "k") == b"v"
            assert b" flags=r " in app.ask("CLIENT", "LIST", "ID", app.ask("CLIENT", "ID"))
        assert leader.call("ACL", "SETUSER", "app", "read-floor=session").raw == OK
        assert leader.call("ACL", "SETUSER", "app", "read=eventual").raw.startswith(b"-ERR ")


@pytest.mark.timeout(60)
def test_a_node_left_alone_answers_what_it_has_and_refuses_what_it_lacks(tmp_path):
    with Cluster(tmp_path) as cluster:
        lone, *others = cluster.followers() + [cluster.leader()]
        with cluster.leader().connect() as leader:
            assert leader.ask("SET", "k", "old") == b"OK"
            had = token_of(leader)
            # What comes behind it tells the others that it is committed.
            for number in range(50):
                assert leader.ask("SET", "filler", str(number)) == b"OK"
            with lone.connect(20) as near:
                assert near.call("REPLIGO.SESSION", token_of(leader)).raw == OK and near.ask("GET", "filler") == b"49"
            lone.kill()
            assert leader.ask("SET", "k", "new") == b"OK"
            lacks = token_of(leader)
        for node in others:
            node.kill()
        lone.start(tmp_path / f"{lone.name}.log")
        wait_until("it listens", lambda: listens(lone), 20, pause=0.05)
        with lone.connect(20) as old, lone.connect(20) as new, lone.connect(20) as fresh:
            assert new.call("REPLIGO.SESSION", lacks).raw == OK
            assert fresh.call("REPLIGO.CONSISTENCY", "READ", "session").raw == OK
            for connection in (new, fresh):
                connection.send(encode(["GET", "k"]))
            assert old.call("REPLIGO.SESSION", had).raw == OK
            assert [old.ask("GET", "k") for _ in range(3)] == [b"old"] * 3
            refused = new.read().raw
            assert refused.startswith(b"-STALE ") and b"level session" in refused and b"has seen entry" in refused
            refused = fresh.read().raw
            assert refused.startswith(b"-STALE ") and b"since its start" in refused, refused
            for node in others:
                node.start(tmp_path / f"{node.name}.log")
            wait_until("it has caught up", lambda: new.call("GET", "k").raw == b"$3\r\nnew\r\n", 20)
            assert fresh.ask("GET", "k") == b"new"
