"""Connection overrides: the fragment of a webhook's URL sets Twilio's timeouts and retries.

https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urldefrag


@dataclass(frozen=True)
class ConnectionOverrides:
    """Timeouts in seconds, the number of retries, and the failures after which Twilio retries.

    `retry_on` contains any of ct (connection or TLS failure), rt (read timeout), 4xx, 5xx, all.
    """

    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    total_timeout: float = 15.0
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})

    def retries_after(self, failure: str) -> bool:
        """Returns whether Twilio retries after a failure of this kind (ct, rt, 4xx, 5xx)."""
        return "all" in self.retry_on or failure in self.retry_on


def split_overrides(url: str) -> tuple[str, ConnectionOverrides]:
    """Returns the URL without its fragment, which Twilio requests and signs, and the overrides of the fragment.

    Values outside Twilio's bounds are clamped; values that are not numbers become the default.
    """
    url_without_fragment, fragment = urldefrag(url)
    values = dict(parse_qsl(fragment))
    return url_without_fragment, ConnectionOverrides(
        connect_timeout=_bounded(values.get("ct"), 100, 10_000, 5_000) / 1000,
        read_timeout=_bounded(values.get("rt"), 100, 15_000, 15_000) / 1000,
        total_timeout=_bounded(values.get("tt"), 100, 15_000, 15_000) / 1000,
        retries=_bounded(values.get("rc"), 0, 5, 1),
        retry_on=frozenset(values.get("rp", "ct").split(",")),
    )


def _bounded(value: str | None, minimum: int, maximum: int, default: int) -> int:
    if value is None or not value.isdigit():
        return default
    return max(minimum, min(maximum, int(value)))
