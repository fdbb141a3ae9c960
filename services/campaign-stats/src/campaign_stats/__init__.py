"""Projects the log of calls into MongoDB.

It writes a document per call, one of counters per campaign, and those of outcomes over time.

The service is deliberately flat. It decides nothing and has one output, so the directories of the other services would
hold one module each:

| module | what it is elsewhere |
|---|---|
| `projection`, `outcomes` | domain: the pure fold |
| `store`, `documents`, `lists`, `outcome_reads`, `writers` | adapter to MongoDB; `store` explains the checkpoint |
| `subscriber`, `queries` | entrypoints: the log, and requests over NATS |
| `watch` | gauges that are polled |
| `metrics`, `settings`, `composition` | as in every service |
"""
