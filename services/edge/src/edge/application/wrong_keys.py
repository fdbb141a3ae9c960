"""Wrong API keys: counted by address, slowed, and recorded in the audit log at a bounded rate.

Every client can send wrong keys, and no entry of the audit log can be deleted. So one flush appends one entry, which
names the addresses with the most wrong keys: less than 0.5 MB a day, however many clients there are. Between two
flushes the counts are in memory; the log of the process has each address at once.

An address may be shared (a company, a proxy), so valid keys from a slowed address are accepted. A key is long and
random; slowing limits the load of guesses, and does not make guessing harder.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import IPv6Address, IPv6Network, ip_address

import structlog
import uuid_utils

from contracts.audit import AuditEntry, Stage
from edge.application.rate_limit import RequestLimit, TokenBuckets
from edge.ports import Audit, Unavailable

LIMIT = RequestLimit(per_second=10 / 60, burst=10)
"""Wrong keys of one address that are answered with 401; further ones are answered with 429."""
FLUSH_SECONDS = 300.0
MAX_ADDRESSES = 100
"""The number of addresses that are counted by themselves between two flushes."""
MAX_NAMED = 20
"""The number of addresses that an entry names."""
OTHERS = "others"
TARGET = "wrong-keys"
"""The target of the entries."""
_IPV6_PREFIX = 64
"""A client usually has a whole network of this prefix length (RFC 6177)."""

logger = structlog.get_logger()


class WrongKeys:
    """The wrong keys of each address since the last flush."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._buckets = TokenBuckets(LIMIT)
        self._counts: Counter[str] = Counter()

    def add(self, host: str) -> int | None:
        """Counts a wrong key. Returns the seconds to wait if there were too many from this address."""
        address = address_of(host)
        has_entry = address in self._counts or len(self._counts) < MAX_ADDRESSES
        counted = address if has_entry else OTHERS
        if counted not in self._counts:
            logger.warning("wrong_api_key", address=counted)
        self._counts[counted] += 1
        return self._buckets.take(address)

    async def run(self) -> None:
        """Flushes once in FLUSH_SECONDS."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Appends one entry, if there were wrong keys. If it cannot be appended, the counts stay for the next flush."""
        counts = self._counts.copy()
        if not counts:
            return
        for address, count in counts.items():
            logger.warning("wrong_api_keys", address=address, count=count)
        with suppress(Unavailable):
            await self._audit.append(_entry(counts))
            self._counts -= counts  # without zero counts


def address_of(host: str) -> str:
    """Returns the address under which a client is counted: its IPv4 address, or its IPv6 network."""
    try:
        address = ip_address(host)
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, _IPV6_PREFIX), strict=False))


def _entry(counts: Counter[str]) -> AuditEntry:
    return AuditEntry(
        act_id=str(uuid_utils.uuid7()),
        act="key.use",
        target=TARGET,
        key_name="unknown",
        recorded_at=datetime.now(UTC),
        stage=Stage.REFUSED,
        addresses=dict(counts.most_common(MAX_NAMED)),
        count=counts.total(),
        reasons=("wrong key",),
    )
