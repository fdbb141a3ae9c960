"""Errors that the server reports on the connection, apart from the request that caused them.

A refused publish gets no reply: its sender waits until its own timeout, and only the error here names the cause.
"""

import re

import structlog
from prometheus_client import Counter

REFUSED = Counter("centralita_bus_refusals", "Publications and subscriptions that NATS did not permit", ["operation"])
_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
_API_TOKENS = 4
_EVENT_TOKENS = 2

logger = structlog.get_logger()


async def on_bus_error(error: Exception) -> None:
    """Logs and counts a refusal by the family of its subject; logs any other error by its type."""
    violation = _VIOLATION.search(str(error))
    if violation is None:
        logger.warning("bus_error", error=type(error).__name__)
        return
    operation = violation[1].lower()
    REFUSED.labels(operation=operation).inc()
    logger.error("bus_refused", operation=operation, family=family_of(violation[2]))


def family_of(subject: str) -> str:
    """Returns the first tokens of a subject, without ids, keys and inboxes.

    ``dial.placed`` for ``dial.placed.<id>``, ``$js.api.stream.delete`` for an API request.
    """
    tokens = _API_TOKENS if subject.lower().startswith("$js.api.") else _EVENT_TOKENS
    return ".".join(subject.split(".")[:tokens])
