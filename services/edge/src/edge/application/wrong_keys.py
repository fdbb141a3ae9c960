"""Wrong API keys: counted by address, slowed, and recorded in the audit log at a bounded rate.

Every client can send wrong keys, and no entry of the audit log can be deleted. So the entries of one flush are bounded:
one for each of the first addresses, and one for all others. Between two flushes the counts are in memory.

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
FLUSH_SECONDS = 60.0
MAX_ADDRESSES = 100
"""The number of addresses that have an entry of their own in one flush."""
OTHERS = "others"
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
        """Appends one entry for each address. Counts whose entry cannot be appended stay for the next flush."""
        for address, count in list(self._counts.items()):
            logger.warning("wrong_api_keys", address=address, count=count)
            with suppress(Unavailable):
                await self._audit.append(_entry(address, count))
                self._counts[address] -= count
        self._counts = +self._counts  # without zero counts


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


def _entry(address: str, count: int) -> AuditEntry:
    return AuditEntry(
        act_id=str(uuid_utils.uuid7()),
        act="key.use",
        target=address.translate(str.maketrans(".:/", "--_")),
        key_name="unknown",
        recorded_at=datetime.now(UTC),
        stage=Stage.REFUSED,
        address=address,
        count=count,
        reasons=("wrong key",),
    )
