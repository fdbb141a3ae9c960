"""Replay: computing state, statistics or decisions again from recorded events.

- `record` reads the log or an export.
- `importing` copies an export into another environment.
- `verifying` decides every recorded input again.
- `rebuilding` builds MongoDB's documents again.
- `timeline` shows one call at any sequence.
"""
