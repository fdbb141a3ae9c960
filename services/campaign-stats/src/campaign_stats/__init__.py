"""Projects the log of calls into MongoDB: a document per call, and a document of counters per
campaign, and those of outcomes over time.

The service is deliberately flat. It decides nothing and has one output, so the directories of the other services would
hold one module each:

| module | what it is elsewhere |
|---|---|
| `projection`, `outcomes` | domain: the pure fold |
| `store` | adapter to MongoDB; explains the checkpoint |
| `subscriber`, `queries` | entrypoints: the log, and requests over NATS |
| `watch` | gauges that are polled |
| `metrics`, `settings`, `composition` | as in every service |
"""
