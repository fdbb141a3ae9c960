"""Adapters of the edge: the log, the other services, voice's audio."""
