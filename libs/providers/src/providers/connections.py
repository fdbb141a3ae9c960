"""Connections to vendors: how long they are kept, and what aiohttp's errors mean behind the SDK of a vendor.

The SDKs use httpx with the transport of the package ``httpx-aiohttp``, because aiohttp parses HTTP in C. The transport
reports each lost or refused connection as ``ConnectTimeout``; the error of aiohttp is its cause.
"""

from collections.abc import Iterator

import aiohttp

from providers.failures import Failure

KEEPALIVE_SECONDS = 50.0
"""How long a connection is kept without a request. The turns of a call are some ten seconds apart, and httpx would keep
it for 5, so most of them would wait for a TLS handshake. Load balancers keep connections for 60 seconds and more."""


def connection_failure(error: BaseException) -> Failure | None:
    """Returns UNREACHABLE if no connection was made, CUT_OFF if one was lost; None if it has another cause."""
    for one in _with_causes(error):
        if isinstance(one, aiohttp.ClientConnectorError):
            return Failure.UNREACHABLE
        if isinstance(one, aiohttp.ClientConnectionError) and not isinstance(one, TimeoutError):
            return Failure.CUT_OFF
    return None


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__
