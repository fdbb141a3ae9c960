"""The dashboard *Operations*: health, progress and backlogs."""

from centralita.monitoring.panels import Dashboard, Kind, Panel, Unit, latency_quantiles, quantile, rate

OPERATIONS = Dashboard(
    uid="centralita-operations",
    title="Operations",
    description="Health of the services, progress of calls, and backlogs.",
    rows={
        "Overview": (
            Panel(
                "Replicas up",
                "Targets that answer Prometheus, by service",
                {"{{service}}": 'sum by (service) (up{job="centralita"})'},
                kind=Kind.NUMBER,
            ),
            Panel(
                "Live calls",
                "Calls that occupy a slot, and their limit (MAX_CONCURRENT_CALLS)",
                {"live": "max(centralita_live_calls)", "limit": "max(centralita_live_calls_limit)"},
                kind=Kind.NUMBER,
            ),
            Panel(
                "Dead letters",
                "Messages that could not be processed, not yet retried or deleted: `centralita dead-letters list`",
                {"stored": "max(centralita_dead_letter_messages)"},
                kind=Kind.NUMBER,
                alarm=1,
            ),
            Panel(
                "Projection lag",
                "Age of the oldest event that is not in MongoDB yet",
                {"lag": "max(centralita_projection_lag_seconds)"},
                unit=Unit.SECONDS,
                kind=Kind.NUMBER,
                alarm=30,
            ),
        ),
        "Calls": (
            Panel(
                "Calls entering each status",
                "Decisions of the orchestrator, a second",
                {"{{status}}": rate("centralita_calls_total", "status")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Dials and their limit",
                "Dial requests a second by outcome, and the account's limit (TWILIO_CALLS_PER_SECOND)",
                {
                    "{{outcome}}": rate("centralita_dials_total", "outcome"),
                    "limit": "max(centralita_dials_per_second_limit)",
                },
                unit=Unit.PER_SECOND,
            ),
            Panel(
                "Live and waiting calls",
                "Waiting: calls that are due and wait for a slot, or whose campaign is closed",
                {
                    "live": "max(centralita_live_calls)",
                    "limit": "max(centralita_live_calls_limit) < inf or max(centralita_live_calls)",
                    "waiting": "max(centralita_waiting_calls)",
                    "waiting at most": "max(centralita_backlog_limit)",
                },
            ),
            Panel(
                "Paused campaigns",
                "Paused campaigns, and the due calls in all closed ones",
                {
                    "campaigns": "max(centralita_paused_campaigns)",
                    "calls": "max(centralita_waiting_calls_paused)",
                },
            ),
        ),
        "Consumers": (
            Panel(
                "Waiting messages",
                "Messages that were not delivered to a replica yet",
                {"{{consumer}}": "max by (consumer) (centralita_consumer_pending_messages)"},
            ),
            Panel(
                "Unacknowledged and redelivered",
                "Messages in progress, and those of them that were delivered before",
                {
                    "{{consumer}}": "max by (consumer) (centralita_consumer_unacknowledged_messages)",
                    "{{consumer}} redelivered": "max by (consumer) (centralita_consumer_redelivered_messages)",
                },
            ),
            Panel(
                "Processing time, 95th percentile",
                "From a message's arrival to its acknowledgement",
                {"{{consumer}}": quantile(0.95, "centralita_message_handling_seconds", "consumer")},
                unit=Unit.SECONDS,
            ),
            Panel(
                "New dead letters",
                "A second",
                {"{{consumer}}": rate("centralita_dead_letters_total", "consumer")},
                unit=Unit.PER_SECOND,
            ),
        ),
        "Streams": (
            Panel(
                "Streams and their limits",
                "Size as a share of the limit, at which a stream or bucket refuses new messages",
                {"{{stream}}": "max by (stream) (centralita_stream_bytes / centralita_stream_max_bytes)"},
                unit=Unit.RATIO,
            ),
            Panel(
                "Size of the streams",
                "Also of those without a limit; `centralita archive` moves ended calls to files",
                {"{{stream}}": "max by (stream) (centralita_stream_bytes)"},
                unit=Unit.BYTES,
            ),
        ),
        "Webhooks and projection": (
            Panel(
                "Webhooks",
                "Requests of the telephone provider by result, a second",
                {"{{result}}": rate("centralita_webhooks_total", "result")},
                unit=Unit.PER_SECOND,
            ),
            Panel(
                "Response time of webhooks",
                "The provider aborts a request after 15 s",
                latency_quantiles("centralita_webhook_seconds"),
                unit=Unit.SECONDS,
            ),
            Panel(
                "Projection",
                "Events applied to MongoDB, a second",
                {"events": rate("centralita_projection_events_total")},
                unit=Unit.PER_SECOND,
            ),
        ),
        "Processes": (
            Panel(
                "Versions",
                "Replicas by service and version",
                {"{{service}} {{version}}": "sum by (service, version) (centralita_build_info)"},
                kind=Kind.NUMBER,
            ),
            Panel(
                "Memory",
                "Resident memory by service",
                {"{{service}}": 'sum by (service) (process_resident_memory_bytes{job="centralita"})'},
                unit=Unit.BYTES,
            ),
            Panel(
                "Processor",
                "Cores in use, by service",
                {"{{service}}": rate('process_cpu_seconds_total{job="centralita"}', "service")},
            ),
        ),
    },
)
