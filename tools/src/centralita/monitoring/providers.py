"""The dashboard *Providers*: requests, circuit breakers, telephony, caches."""

from centralita.monitoring.panels import Dashboard, Kind, Panel, Unit, quantile, rate

PROVIDERS = Dashboard(
    uid="centralita-providers",
    title="Providers",
    description="Results and latency of each vendor, circuit breakers, and cache hits.",
    rows={
        "Requests": (
            Panel(
                "Requests by outcome",
                "A second",
                {"{{provider}}: {{outcome}}": rate("centralita_provider_requests_total", "provider", "outcome")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Success ratio",
                "Share of all requests, including those that were not sent",
                {
                    "{{provider}}": 'sum by (provider) (rate(centralita_provider_requests_total{outcome="succeeded"}'
                    "[$__rate_interval])) / " + rate("centralita_provider_requests_total", "provider")
                },
                unit=Unit.RATIO,
            ),
            Panel(
                "Response time, 95th percentile",
                "From sending the request to the end of the response",
                {"{{provider}}": quantile(0.95, "centralita_provider_seconds", "provider")},
                unit=Unit.SECONDS,
            ),
        ),
        "Circuit breakers": (
            Panel(
                "State",
                "0 closed, 1 half-open, 2 open; the highest of all replicas",
                {"{{provider}}": "max by (provider) (centralita_breaker_state)"},
                alarm=2,
            ),
            Panel(
                "Transitions",
                "By new state, a second",
                {"{{provider}} {{state}}": rate("centralita_breaker_transitions_total", "provider", "state")},
                unit=Unit.PER_SECOND,
            ),
        ),
        "Telephony": (
            Panel(
                "Dials by outcome",
                "A second",
                {"{{outcome}}": rate("centralita_dials_total", "outcome")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Held dial orders",
                "Orders that wait until the provider's breaker closes; all other calls wait in the queue",
                {"orders": "sum(centralita_held_dials)"},
            ),
            Panel(
                "Webhooks by kind",
                "A second",
                {"{{kind}}": rate("centralita_webhooks_total", "kind")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
        ),
        "Caches": (
            Panel(
                "Clips",
                "Cached speech: hits and misses a second",
                {"hits": rate("centralita_clip_hits_total"), "misses": rate("centralita_clip_misses_total")},
                unit=Unit.PER_SECOND,
            ),
            Panel(
                "Answers",
                "Cached replies, if the cache is on: hits and misses a second",
                {
                    "hits": rate("centralita_answer_cache_hits_total"),
                    "misses": rate("centralita_answer_cache_misses_total"),
                },
                unit=Unit.PER_SECOND,
            ),
        ),
    },
)
