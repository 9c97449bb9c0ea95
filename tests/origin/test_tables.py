"""A mapping reads and writes what it names and nothing else: columns that are gone, rows that change behind it."""

import contextlib
import sqlite3

import pytest

from support.nodes import Cluster, binary
from support.processes import run_tool
from support.waiting import wait_until

CONFIGURATION = """
[origin.main]
url = "sqlite:app.db"

[[keyspace]]
name = "users"
pattern = "user:{id:int}"
origin = "main"
mode = "write-through"
table = "users"
value = "json"
fields = { name = "name", email = "email" }
"""
TABLE = "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, email TEXT{more});"


def mapped(directory, more="", then=""):
    """Writes configuration and database, and returns the path of the configuration."""
    (directory / "repligo.toml").write_text(CONFIGURATION)
    execute(directory, TABLE.format(more=more) + then)
    return directory / "repligo.toml"


def execute(directory, statements):
    with contextlib.closing(sqlite3.connect(directory / "app.db", timeout=10)) as connection:
        connection.executescript(statements)


@pytest.mark.parametrize("change", ["RENAME COLUMN email TO mail", "DROP COLUMN email"])
def test_a_column_that_is_gone_is_never_read_as_the_text_of_its_name(change, tmp_path):
    config = mapped(tmp_path, then="INSERT INTO users VALUES (1, 'ada', 'a@example.org'), (2, 'eve', 'e@example.org');")
    with Cluster(tmp_path, nodes=1, options=("--config", config)) as cluster:
        with cluster.nodes[0].connect(20) as connection:
            assert connection.ask("GET", "user:1") == b'{"name":"ada","email":"a@example.org"}'
            execute(tmp_path, f"ALTER TABLE users {change};")
            for key in ("user:2", "user:2", "user:3"):
                reply = connection.call("GET", key).raw
                assert reply.startswith(b"-ORIGINDOWN the mapping of keyspace users does not fit"), reply
                assert b"no column email" in reply, reply


@pytest.mark.timeout(90)
def test_a_column_that_is_renamed_while_the_node_is_down_is_missed_before_anything_is_read(tmp_path):
    config = mapped(tmp_path, then="INSERT INTO users VALUES (1, 'ada', 'a@example.org'), (2, 'eve', 'e@example.org');")
    ada, eve = b'{"name":"ada","email":"a@example.org"}', b'{"name":"eve","email":"e@example.org"}'
    with Cluster(tmp_path, nodes=1, options=("--config", config)) as cluster:
        node = cluster.nodes[0]
        with node.connect(20) as connection:
            assert connection.ask("GET", "user:1") == ada
        node.kill()
        execute(tmp_path, "ALTER TABLE users RENAME COLUMN email TO mail;")
        # With the database at hand the start ends, and says why.
        node.start(tmp_path / "refused.log")
        assert wait_until("the start ends", lambda: not node.started.is_running(), 20)
        said = (tmp_path / "refused.log").read_text()
        assert "table users has no column email" in said and "do: add it or change the mapping" in said, said
        # Without it the node starts, and the table is looked at when the database is there.
        away = (tmp_path / "app.db").rename(tmp_path / "away.db")
        node.start(tmp_path / "again.log")
        cluster.leader()
        with node.connect(30) as connection:
            away.rename(tmp_path / "app.db")

            def missed():
                reply = connection.call("GET", "user:2").raw
                assert reply.startswith(b"-ORIGINDOWN"), reply
                return b"the mapping of keyspace users does not fit" in reply and b"no column email" in reply

            wait_until("the column is missed", missed, 20, pause=0.1)
            assert connection.ask("GET", "user:1") == ada, "what was cached is what it was"
            execute(tmp_path, "ALTER TABLE users RENAME COLUMN mail TO email;")
            wait_until("it is used again", lambda: connection.call("GET", "user:2").value.plain() == eve, 10, pause=0.1)


@pytest.mark.parametrize(
    ("more", "then", "parts"),
    [
        (
            "",
            "CREATE TRIGGER g AFTER INSERT ON users BEGIN UPDATE users SET email = 'x' WHERE id < new.id; END;",
            ["trigger g", "drop trigger g"],
        ),
        (
            ", boss INTEGER REFERENCES users(id) ON DELETE CASCADE",
            "",
            ["rows of table users by the action of a foreign key", "without ON DELETE"],
        ),
        (
            ", boss INTEGER REFERENCES users(id) ON DELETE SET NULL",
            "ALTER TABLE users RENAME COLUMN email TO mail; ALTER TABLE users RENAME COLUMN boss TO email;",
            ["column users.email by the action of a foreign key", "without ON DELETE"],
        ),
    ],
    ids=["trigger", "cascade", "set null"],
)
def test_a_table_that_changes_rows_behind_the_cache_is_refused_with_the_reason(more, then, parts, tmp_path):
    config = mapped(tmp_path, more, then)
    for words in (["config", "check", config], ["serve", "--config", config, "--listen", "127.0.0.1:0"]):
        extra = ["--data-dir", tmp_path / "data"] if words[0] == "serve" else []
        code, output, errors = run_tool([binary(), *words, *extra], seconds=15)
        said = (output + errors).decode()
        assert code == 2, said
        assert all(part in said for part in parts) and "repligo.toml:5" in said, said
