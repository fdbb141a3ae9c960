"""Which URLs a campaign may give a tool: what a command can be refused for without resolving a name.

The parser is that of WHATWG, which reads each notation of an address (``0x7f.1``, ``2130706433``) as the address that
it is. The URL is stored as the parser writes it, so that no later parser reads another host. What the name resolves to
is checked at each connection, by conversation.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from pydantic import HttpUrl, TypeAdapter, ValidationError

_URL = TypeAdapter(HttpUrl)
_LOCAL_NAMES = ("localhost", "local", "internal", "home.arpa")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 addresses behind a translator (RFC 6052): the last 32 bits."""
_METADATA = frozenset({IPv4Address("168.63.129.16")})
"""Addresses of a cloud provider's host that are public by their number. The others are link-local or private."""


def checked_tool_url(text: str) -> str:
    """Returns a URL in its normal form. Raises ValueError with the remedy.

    A loopback address is accepted here, with http or https: only an installation that permits it connects to one.
    """
    try:
        url = _URL.validate_python(text)
    except ValidationError as error:
        raise ValueError("not a URL; write it as https://example.com/path") from error
    if url.username or url.password:
        raise ValueError("it has a user or a password, which would be in the log; check the signature instead")
    if url.fragment:
        raise ValueError("it has a fragment (#), which is never sent; leave it out")
    address = address_of(url.host or "")
    is_loopback = address.is_loopback if address else url.host == "localhost"
    if url.scheme != "https" and not is_loopback:
        raise ValueError("not https; tools are called over TLS only")
    if not is_loopback and (not is_public(address) if address else _is_local_name(url.host or "")):
        raise ValueError("its host is not in the public Internet; give one that is")
    return str(url)


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """Returns the address that a host of a normalized URL is; None: it is a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one host of the public Internet.

    Addresses that contain another one (IPv4 in IPv6: mapped, NAT64, 6to4, Teredo) are as public as that one.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address.sixtofour:
            return is_public(address.sixtofour)
        if address in _TRANSLATED:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        return address in _GLOBAL_UNICAST and address.is_global and not address.teredo
    return address.is_global and not (address.is_multicast or address.is_reserved or address in _METADATA)


def _is_local_name(host: str) -> bool:
    name = host.rstrip(".").lower()
    return "." not in name or any(name == local or name.endswith("." + local) for local in _LOCAL_NAMES)
