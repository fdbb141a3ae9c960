"""Retention: moving ended calls from the streams to the files of an archive (`centralita archive`).

- `bounds` computes up to where messages may be moved.
- `selection` selects the messages of ended calls.
- `removal` deletes them from the streams.
- `archiver` moves them in steps, each of which may be interrupted.

`centralita.replay.archived_log` reads the archive together with the streams.
"""
