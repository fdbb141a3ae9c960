"""Use cases: load, decide, append, then the effects."""
