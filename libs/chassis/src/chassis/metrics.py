"""The metrics of every service and the route that exposes them; each service defines its own in its ``metrics.py``."""

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, Info, generate_latest
from starlette.requests import Request
from starlette.responses import Response

BUILD = Info("centralita_build", "Name and version of the service")
HANDLING_SECONDS = Histogram(
    "centralita_message_handling_seconds", "Time from the arrival of a message to the end of its handling", ["consumer"]
)
DEAD_LETTERS = Counter("centralita_dead_letters", "Messages stored as dead letters", ["consumer"])
UNREADABLE = Counter(
    "centralita_unreadable_events", "Times that a reader met a stored event that it cannot decode", ["reader"]
)
TERMINATED = Counter(
    "centralita_terminated_messages", "Messages terminated because their dead letter could not be stored", ["consumer"]
)
CLOCK_DIFFERENCE_SECONDS = Gauge(
    "centralita_clock_difference_seconds", "How far the clock of this machine is ahead of that of nats-server"
)


async def metrics(_: Request) -> Response:
    """``GET /metrics`` in the Prometheus text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
