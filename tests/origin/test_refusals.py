"""What a mapped keyspace refuses: the command is named as it was sent, and who follows the advice succeeds."""

import pytest

from faults.database import Database
from support.nodes import Cluster

# Its keys are numbers, so braces fit in none of them.
NUMBERS = """
[[keyspace]]
name = "numbers"
pattern = "number:{id:int}"
origin = "main"
mode = "write-through"
table = "numbers"
value = "raw"
value_column = "value"
"""


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """A connection to a single node with mapped keyspaces, of which one has no room for hash tags."""
    directory = tmp_path_factory.mktemp("refusals")
    database = Database(directory, {"items": "item:", "parts": "part:"})
    with database.open() as table:
        table.execute("CREATE TABLE numbers(id INTEGER PRIMARY KEY, value BLOB NOT NULL)")
    with open(database.config, "a") as file:
        file.write(NUMBERS)
    with Cluster(directory, nodes=1, options=("--config", database.config)) as cluster:
        with cluster.leader().connect(20) as connection:
            yield connection


@pytest.mark.parametrize(
    "words",
    [
        ("SETEX", "item:a", "10", "x"),
        ("PSETEX", "item:a", "10", "x"),
        ("EXPIRE", "item:a", "10"),
        ("EXPIRETIME", "item:a"),
        ("INCR", "item:a"),
        ("DECR", "item:a"),
        ("GETDEL", "item:a"),
    ],
    ids=lambda words: words[0],
)
def test_a_refusal_names_the_command_as_it_was_sent(connection, words):
    reply = connection.call(*words).raw
    assert reply.startswith(f"-ERR {words[0]} is not supported in keyspace items: ".encode()), reply


def test_keys_of_several_lanes_succeed_with_the_hash_tag_that_is_advised(connection):
    words = ["MSET", *(word for letter in "abcdefgh" for word in (f"item:{letter}", "1"))]
    reply = connection.call(*words).raw
    assert reply.startswith(b"-CROSSLANE the keys of MSET belong to different lanes; "), reply
    assert b"the same text in braces" in reply, reply
    tagged = ["MSET", *(word for letter in "abcdefgh" for word in ("item:{t}" + letter, "1"))]
    assert connection.ask(*tagged) == b"OK"


def test_keys_without_room_for_a_hash_tag_are_told_to_go_one_by_one(connection):
    words = ["MSET", *(word for number in range(8) for word in (f"number:{number}", "1"))]
    reply = connection.call(*words).raw
    assert reply.startswith(b"-CROSSLANE the keys of MSET belong to different lanes, "), reply
    assert b"no room for a hash tag; send one command per key" in reply and b"{7}" not in reply, reply
    for number in range(8):
        assert connection.ask("MSET", f"number:{number}", "1") == b"OK"


def test_keys_of_several_keyspaces_succeed_one_command_for_each(connection):
    reply = connection.call("MSET", "item:a", "1", "part:a", "1").raw
    assert reply.startswith(b"-CROSSLANE the keys of MSET belong to different keyspaces; "), reply
    assert b"send one command for each" in reply, reply
    reply = connection.call("MSET", "item:a", "1", "plain", "1").raw
    assert reply.startswith(b"-CROSSLANE MSET mixes keys with an origin and keys without one; "), reply
    assert b"send one command for each" in reply, reply
    for key in ("item:a", "part:a", "plain"):
        assert connection.ask("MSET", key, "1") == b"OK"
