"""What aiohttp's errors mean that reach an adapter through the SDK of a vendor.

The SDKs use httpx with the transport of the package ``httpx-aiohttp``, because aiohttp parses HTTP in C. The transport
reports each lost or refused connection as ``ConnectTimeout``; the error of aiohttp is its cause.
"""

from collections.abc import Iterator

import aiohttp

from providers.failures import Failure


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
