"""*Providers*: does each vendor answer, how fast, and what is saved by not asking?"""

from centralita.monitoring.panels import Dashboard, Kind, Panel, Unit, quantile, rate

PROVIDERS = Dashboard(
    uid="centralita-providers",
    title="Providers",
    means="Does each vendor answer, how fast, and what is saved by not asking?",
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
                "Share that succeeded",
                "Of all requests, those that were not sent included",
                {
                    "{{provider}}": 'sum by (provider) (rate(centralita_provider_requests_total{outcome="succeeded"}'
                    "[$__rate_interval])) / " + rate("centralita_provider_requests_total", "provider")
                },
                unit=Unit.RATIO,
            ),
            Panel(
                "Time to the end of an answer, slowest twentieth",
                "From sending the request",
                {"{{provider}}": quantile(0.95, "centralita_provider_seconds", "provider")},
                unit=Unit.SECONDS,
            ),
        ),
        "Breakers": (
            Panel(
                "State",
                "0 closed, 1 half-open, 2 open: the worst replica",
                {"{{provider}}": "max by (provider) (centralita_breaker_state)"},
                alarm=2,
            ),
            Panel(
                "Changes",
                "By the new state, a second",
                {"{{provider}} {{state}}": rate("centralita_breaker_transitions_total", "provider", "state")},
                unit=Unit.PER_SECOND,
            ),
        ),
        "The telephone": (
            Panel(
                "Dials by outcome",
                "A second",
                {"{{outcome}}": rate("centralita_dials_total", "outcome")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
            Panel(
                "Dials that are held",
                "Orders that wait until the provider is well again; all other calls wait in the queue meanwhile",
                {"held": "sum(centralita_held_dials)"},
            ),
            Panel(
                "Webhooks by kind",
                "A second",
                {"{{kind}}": rate("centralita_webhooks_total", "kind")},
                unit=Unit.PER_SECOND,
                kind=Kind.STACKED,
            ),
        ),
        "Not asked": (
            Panel(
                "Clips found",
                "Speech that repeats: hits and misses, a second",
                {"found": rate("centralita_clip_hits_total"), "not found": rate("centralita_clip_misses_total")},
                unit=Unit.PER_SECOND,
            ),
            Panel(
                "Answers found",
                "Frequent answers, if they are kept: hits and misses, a second",
                {
                    "found": rate("centralita_answer_cache_hits_total"),
                    "not found": rate("centralita_answer_cache_misses_total"),
                },
                unit=Unit.PER_SECOND,
            ),
        ),
    },
)
