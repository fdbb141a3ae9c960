"""Resolves the names of tools' hosts to addresses of the public Internet, and to no others.

A user who may declare campaigns chooses the names in them. They must not lead into the network of this process: to
the bus, to a database, or to the metadata of a cloud. So a name is resolved once for each request, each of its
addresses is checked (`contracts.tool_urls.is_public`), and the connection is made to what was checked. A name that
resolves to another address a moment later changes nothing.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

from contracts.tool_urls import address_of, is_public

_MAX_ADDRESSES = 8
_THREADS = 8
"""Names that are slow to resolve use up these threads only, and not those by which the vendors' names are resolved."""


class AddressRefused(OSError):
    """A name or an address that tools must not connect to. The reason has no name and no address in it."""


class PublicResolver(AbstractResolver):
    """Implements aiohttp's resolver. `permits_loopback`: for demos and tests only."""

    def __init__(self, *, permits_loopback: bool = False) -> None:
        self._permits_loopback = permits_loopback
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tool-names")

    def check(self, host: str) -> None:
        """Raises AddressRefused if the host is an address that is not permitted. Names are checked by `resolve`."""
        address = address_of(host)
        if address is not None and not is_public(address) and not (self._permits_loopback and address.is_loopback):
            raise AddressRefused("its address is not in the public Internet")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Returns the addresses of a name. Raises AddressRefused if any of them is not permitted, and OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _addresses, host, port, family)
        if not found:
            raise OSError("the name has no address")
        for kind, address in found:
            self.check(address)
            if address_of(address) is None:
                raise AddressRefused(f"an address of {kind.name} with a zone")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, address in found[:_MAX_ADDRESSES]
        ]

    async def close(self) -> None:
        """Waits for no name that is still being resolved."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[tuple[socket.AddressFamily, str]]:
    """Returns the addresses that the system's resolver knows of a name, each once."""
    infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    found = [(kind, str(place[0])) for kind, _, _, _, place in infos if kind in (socket.AF_INET, socket.AF_INET6)]
    return list(dict.fromkeys(found))
