"""The addresses in ``NATS_URL``: one, or those of several nodes of a cluster, separated by commas."""

from typing import Annotated, TypedDict
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import AfterValidator, NatsDsn, ValidationError


class Connection(TypedDict):
    """Arguments of ``nats.connect``."""

    servers: list[str]
    user: str | None
    password: str | None


def connection(url: str) -> Connection:
    """Returns the arguments with which to connect to `url`. The user in its first address is used on every node.

    The user is passed separately: nats-py sends a user that is part of an address to that node only. A node whose
    address nats-py learned from another node would then refuse the connection.
    """
    nodes = [urlsplit(node) for node in _split(url)]
    return {
        "servers": [_without_user(node) for node in nodes],
        "user": nodes[0].username,
        "password": nodes[0].password,
    }


def _without_user(node: SplitResult) -> str:
    return urlunsplit(node._replace(netloc=node.netloc.rpartition("@")[2]))


def _split(url: str) -> list[str]:
    """Returns the addresses in `url`. Their scheme may be left out, as in other NATS clients."""
    return [node if "://" in node or not node else f"nats://{node}" for node in map(str.strip, url.split(","))]


def _validate(value: str) -> str:
    try:
        return ",".join(str(NatsDsn(node)) for node in _split(value))
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from None


NatsUrl = Annotated[str, AfterValidator(_validate)]
"""The type of the setting ``NATS_URL``."""
