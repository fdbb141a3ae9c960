"""*Operations*: is everything up, does everything move, does anything pile up?"""

from centralita.monitoring.panels import Dashboard, Kind, Panel, Unit, quantile, rate, split_of_time

OPERATIONS = Dashboard(
    uid="centralita-operations",
    title="Operations",
    means="Is everything up, does everything move, does anything pile up?",
    rows={
        "At a glance": (
            Panel(
                "Replicas up",
                "Targets that answer Prometheus, by service",
                {"{{service}}": 'sum by (service) (up{job="centralita"})'},
                kind=Kind.NUMBER,
            ),
            Panel(
                "Live calls",
                "Calls that hold a slot, and the cap (MAX_CONCURRENT_CALLS)",
                {"live": "max(centralita_live_calls)", "cap": "max(centralita_live_calls_limit)"},
                kind=Kind.NUMBER,
            ),
            Panel(
                "Dead letters",
                "Messages that nobody could use, and that nobody has dealt with: `centralita dead-letters list`",
                {"kept": "max(centralita_dead_letter_messages)"},
                kind=Kind.NUMBER,
                alarm=1,
            ),
            Panel(
                "Projection behind by",
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
                "Dials against the limit",
                "Requests to dial by their outcome, a second, and the most that the account may send",
                {
                    "{{outcome}}": rate("centralita_dials_total", "outcome"),
                    "limit": "max(centralita_dials_per_second_limit)",
                },
                unit=Unit.PER_SECOND,
            ),
            Panel(
                "Live and waiting calls",
                "Waiting: their time has come and there is no slot, or their campaign is paused",
                {
                    "live": "max(centralita_live_calls)",
                    "cap": "max(centralita_live_calls_limit) < inf or max(centralita_live_calls)",
                    "waiting": "max(centralita_waiting_calls)",
                },
            ),
            Panel(
                "Paused",
                "Campaigns that somebody has paused, and the calls that wait in them",
                {
                    "campaigns": "max(centralita_paused_campaigns)",
                    "calls": "max(centralita_waiting_calls_paused)",
                },
            ),
        ),
        "The bus": (
            Panel(
                "Waiting for a consumer",
                "Messages that no replica has been given yet",
                {"{{consumer}}": "max by (consumer) (centralita_consumer_pending_messages)"},
            ),
            Panel(
                "Being handled, and come again",
                "Messages under way, and how many of them had been delivered before",
                {
                    "{{consumer}}": "max by (consumer) (centralita_consumer_unacknowledged_messages)",
                    "{{consumer}} again": "max by (consumer) (centralita_consumer_redelivered_messages)",
                },
            ),
            Panel(
                "Handling, slowest twentieth",
                "From a message's arrival to its acknowledgement",
                {"{{consumer}}": quantile(0.95, "centralita_message_handling_seconds", "consumer")},
                unit=Unit.SECONDS,
            ),
            Panel(
                "Given up on",
                "New dead letters, a second",
                {"{{consumer}}": rate("centralita_dead_letters_total", "consumer")},
                unit=Unit.PER_SECOND,
            ),
        ),
        "The edges": (
            Panel(
                "Webhooks",
                "Requests of the telephone provider by what became of them, a second",
                {"{{result}}": rate("centralita_webhooks_total", "result")},
                unit=Unit.PER_SECOND,
            ),
            Panel(
                "Time to answer a webhook",
                "The provider gives up after 15 s",
                split_of_time("centralita_webhook_seconds"),
                unit=Unit.SECONDS,
            ),
            Panel(
                "Projection",
                "Events that went into MongoDB, a second",
                {"events": rate("centralita_projection_events_total")},
                unit=Unit.PER_SECOND,
            ),
        ),
        "Processes": (
            Panel(
                "Versions",
                "What runs where",
                {"{{service}} {{version}}": "sum by (service, version) (centralita_build_info)"},
                kind=Kind.NUMBER,
            ),
            Panel(
                "Memory",
                "Resident, by service",
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
