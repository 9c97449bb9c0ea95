"""A SQLite database and the configuration that maps keys to its tables."""

import sqlite3
from pathlib import Path


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
