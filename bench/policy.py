"""The policy of the calls that benchmarks create."""

from datetime import timedelta

from call_orchestrator.application.call_terms import Policy

POLICY = Policy(
    call_timeout=timedelta(seconds=30),
    max_retries=3,
    retry_delay=timedelta(hours=1),
    max_talk=timedelta(minutes=10),
    dial_within=timedelta(days=1),
    allowed_countries=frozenset({"US"}),
)
