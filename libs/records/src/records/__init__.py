"""What the log contains about one call, for people: read from the streams, or given by an export.

- `messages`: a stored message, and how it is opened.
- `call_ids`: which call and which campaign a message is about.
- `one_call`: the messages of one call, read at a constant cost.
- `story`: the state, timeline and transcript of a call at any sequence.
- `event_description`: one line for each event.
- `masking`: masked phone numbers.
"""
