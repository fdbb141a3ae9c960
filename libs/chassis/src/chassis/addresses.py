"""Where NATS listens: one address, or those of a cluster's nodes with commas between them."""

from typing import Annotated, TypedDict
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import AfterValidator, NatsDsn, ValidationError


class Connection(TypedDict):
    """The arguments of ``nats.connect``."""

    servers: list[str]
    user: str | None
    password: str | None


def connection(url: str) -> Connection:
    """How to connect to `url`: the user of its first address is the user everywhere.

    Apart from the addresses: to a node that it has only heard of from another one, nats-py presents no user that stood
    in an address, is refused, and stays away until a node that was named is back.
    """
    nodes = [urlsplit(node) for node in _each(url)]
    return {"servers": [_bare(node) for node in nodes], "user": nodes[0].username, "password": nodes[0].password}


def _bare(node: SplitResult) -> str:
    return urlunsplit(node._replace(netloc=node.netloc.rpartition("@")[2]))


def _each(url: str) -> list[str]:
    """As other clients take them, the scheme may be left out."""
    return [node if "://" in node or not node else f"nats://{node}" for node in map(str.strip, url.split(","))]


def _addresses(value: str) -> str:
    try:
        return ",".join(str(NatsDsn(node)) for node in _each(value))
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from None


NatsUrl = Annotated[str, AfterValidator(_addresses)]
"""The type of the setting ``NATS_URL``."""
