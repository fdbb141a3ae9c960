"""Sealing the logs of older builds, which had personal data in clear (`centralita seal`).

- `persons` knows which person each call is about.
- `clear_messages` finds messages in clear, and returns their sealed form.
- `stream_rewriting` stores all messages of a stream again, in steps, each of which may be interrupted.
- `sealing_run` counts and rewrites the streams.
"""
