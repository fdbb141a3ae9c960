"""Parsing the headers of a received message.

nats-py looks at each character of each header's name, which is most of what it costs to receive a message: 25 µs for
the eleven headers of a stored one. A service receives the same few names again and again.
"""

from functools import lru_cache

from nats.aio.client import Client

_MAX_NAMES = 512
_MAX_NAME_BYTES = 64


def remember_header_names(client: Client) -> None:
    """Makes the client check each name of a header once. The result is that of nats-py."""
    client._parse_header_lines = parse_header_lines  # type: ignore[method-assign]  # nats-py has no public place for it


def parse_header_lines(raw: bytes) -> dict[str, str]:
    """Returns the headers of a block, as `Client._parse_header_lines` does."""
    headers = {}
    for line in raw.split(b"\r\n"):
        name, separator, value = line.partition(b":")
        if separator and (key := _known(name) if len(name) <= _MAX_NAME_BYTES else _checked(name)) is not None:
            headers[key] = value.strip().decode("utf-8", "replace")
    return headers


def _checked(name: bytes) -> str | None:
    """Returns a name as text; None if it is none: not ASCII, or with white space inside."""
    try:
        key = name.strip().decode("ascii")
    except UnicodeDecodeError:
        return None
    return None if any(character.isspace() for character in key) else key


_known = lru_cache(maxsize=_MAX_NAMES)(_checked)
"""Senders choose names, so the number and the length of those that are remembered are bounded."""
