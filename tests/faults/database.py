"""A SQLite database, the configuration that maps keys to its tables, and nodes that have both."""

import contextlib
import sqlite3
from pathlib import Path

from support.nodes import Cluster

# The file itself, and what SQLite keeps beside it.
SIDE_FILES = ("", "-wal", "-shm")


class Database:
    """One file with tables of two columns: `name`, and `value` as raw bytes.

    `tables` maps the name of a table to the literal prefix of its keys.
    """

    def __init__(self, directory, tables, **settings):
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "origin.sqlite"
        self.config = directory / "repligo.toml"
        self.tables = tables
        with self.open() as connection:
            for table in tables:
                rule = settings.get("check", "1")
                connection.execute(
                    f"CREATE TABLE {table}(name TEXT PRIMARY KEY, value BLOB NOT NULL CHECK({rule}))"
                )
        self.config.write_text(self._configuration(settings))

    def _configuration(self, settings):
        timeout = settings.get("statement_timeout", "5s")
        deadline = settings.get("flush_deadline", "30s")
        sections = [f'[origin.main]\nurl = "sqlite:{self.path}"\nstatement_timeout = "{timeout}"\n']
        for table, prefix in self.tables.items():
            sections.append(
                f'[[keyspace]]\nname = "{table}"\npattern = "{prefix}{{name:text}}"\norigin = "main"\n'
                f'mode = "write-through"\ntable = "{table}"\nvalue = "raw"\nvalue_column = "value"\n'
                f'flush_deadline = "{deadline}"\n'
            )
        return "\n".join(sections)

    def open(self):
        """A connection of our own, as another program would have one."""
        return sqlite3.connect(self.path, timeout=10, isolation_level=None)

    def rows(self, table):
        """The whole table: key as clients know it → value."""
        prefix = self.tables[table].encode()
        connection = self.open()
        try:
            found = connection.execute(f"SELECT name, value FROM {table}").fetchall()
        finally:
            connection.close()
        return {prefix + name.encode(): value for name, value in found}

    @contextlib.contextmanager
    def gone(self):
        """The database is moved away for a while."""
        away = self.path.with_name("away")
        away.mkdir()
        for suffix in SIDE_FILES:
            file = self.path.with_name(self.path.name + suffix)
            if file.exists():
                file.rename(away / file.name)
        yield
        for file in away.iterdir():
            file.rename(self.path.parent / file.name)
        away.rmdir()


@contextlib.contextmanager
def mapped_cluster(directory, nodes=3, **settings):
    """Nodes with one mapped keyspace, `item:{name:text}`, and its database."""
    database = Database(directory, {"items": "item:"}, **settings)
    with Cluster(directory, nodes=nodes, options=("--config", database.config)) as cluster:
        yield cluster, database
