"""Which numbers of a file appeared before, with flat memory: in a temporary database on disk."""

import sqlite3


class SeenNumbers:
    """The numbers of one dry run, by 63 bits of their digests.

    Two numbers of a file of a million rows have the same bits with a probability of 1 in 18 million; one of them is
    then counted as a duplicate. An import compares whole digests.
    """

    def __init__(self) -> None:
        # An empty name is a private database, which SQLite removes (sqlite.org/inmemorydb.html).
        self._database = sqlite3.connect("", isolation_level=None)
        for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -8192"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute("CREATE TABLE seen (digest INTEGER PRIMARY KEY)")
        self._database.execute("BEGIN")

    def add(self, digest: str) -> bool:
        """Adds a number; returns False if it was added before. `digest`: hexadecimal."""
        bits = int(digest[:16], 16) >> 1
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (bits,)).rowcount > 0

    def close(self) -> None:
        """Removes the database."""
        self._database.close()
