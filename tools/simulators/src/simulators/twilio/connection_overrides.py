"""Connection overrides: the fragment of a webhook's URL says how often and how long Twilio tries.

https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urldefrag


@dataclass(frozen=True)
class ConnectionOverrides:
    """Time-outs in seconds, retries after the first attempt, and the failures that are worth one.

    `retry_on`: any of ct (connect or TLS failure), rt (read time-out), 4xx, 5xx, all.
    """

    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    total_timeout: float = 15.0
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})

    def retries_after(self, failure: str) -> bool:
        """Whether a failure of this kind (ct, rt, 4xx, 5xx) is worth another attempt."""
        return "all" in self.retry_on or failure in self.retry_on


def split_overrides(url: str) -> tuple[str, ConnectionOverrides]:
    """The URL that is requested and signed (without its fragment), and what the fragment asks for.

    Values out of Twilio's bounds are brought to the nearest bound; what cannot be read is the default.
    """
    bare, fragment = urldefrag(url)
    given = dict(parse_qsl(fragment))
    return bare, ConnectionOverrides(
        connect_timeout=_bounded(given.get("ct"), 100, 10_000, 5_000) / 1000,
        read_timeout=_bounded(given.get("rt"), 100, 15_000, 15_000) / 1000,
        total_timeout=_bounded(given.get("tt"), 100, 15_000, 15_000) / 1000,
        retries=_bounded(given.get("rc"), 0, 5, 1),
        retry_on=frozenset(given.get("rp", "ct").split(",")),
    )


def _bounded(value: str | None, least: int, most: int, default: int) -> int:
    if value is None or not value.isdigit():
        return default
    return max(least, min(most, int(value)))
