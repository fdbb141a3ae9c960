"""What the server refuses us, and tells only afterwards: whoever published waits for an answer that does not come."""

import re

import structlog
from prometheus_client import Counter

REFUSED = Counter("centralita_bus_refusals", "Publications and subscriptions that NATS did not allow", ["operation"])
_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
_API_FAMILY = 4
_FACT_FAMILY = 2

logger = structlog.get_logger()


async def on_bus_error(error: Exception) -> None:
    """Logs a refusal with the family of its subject, and any other trouble of the connection by its type."""
    found = _VIOLATION.search(str(error))
    if found is None:
        logger.warning("bus_trouble", error=type(error).__name__)
        return
    REFUSED.labels(operation=found[1].lower()).inc()
    logger.error("bus_refused", operation=found[1].lower(), family=family_of(found[2]))


def family_of(subject: str) -> str:
    """``dial.placed`` of ``dial.placed.<id>``, ``$js.api.stream.delete`` of an API request: no id, no key, no inbox."""
    length = _API_FAMILY if subject.lower().startswith("$js.api.") else _FACT_FAMILY
    return ".".join(subject.split(".")[:length])
