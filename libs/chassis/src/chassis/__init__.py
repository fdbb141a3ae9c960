"""What every service needs: functions over the objects of nats-py, FastStream, Starlette and structlog.

No base class, no business terms; one concern per module.

| module | provides |
|---|---|
| `serve` | runs a service: settings, connection, subscribers, HTTP, and an orderly stop |
| `settings` | the settings that every service reads from its environment |
| `addresses` | the addresses and the user in ``NATS_URL`` |
| `event_log` | appending events under a guard; reading the events of one call or campaign |
| `history` | how the messages of one call or campaign are found, at a constant cost |
| `live` | new messages of a stream as soon as they are stored |
| `stream_reader`, `direct_get` | reading a stream: following it, up to a sequence, or in pages |
| `stream_scan`, `subject_filters` | the parts of these readers |
| `stored_event` | an event with its envelope and its sequence |
| `subscriptions` | typed handlers for a durable consumer |
| `delivery` | acknowledgement, retry, dead letters, trace, metrics and log context of each message |
| `retry_later` | expected waiting of a handler |
| `ack_extension`, `failure_counts`, `dead_letters` | parts of `delivery` |
| `leader_retry` | repeating a request while a cluster elects a leader |
| `connection_errors` | what the server refuses on this connection |
| `barrier` | waiting until the server has processed what was sent |
| `background` | a task beside the subscribers |
| `provision`, `buckets`, `replicas` | creating streams, consumers and buckets |
| `logging_setup`, `metrics`, `tracing` | JSON log lines, Prometheus metrics, OpenTelemetry spans |
"""
