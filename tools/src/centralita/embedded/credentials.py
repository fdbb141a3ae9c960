"""The users of an embedded NATS: a password each, made up for the run, and where the command line finds them."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from centralita.embedded.run_files import keep
from chassis.addresses import connection
from contracts.permissions import OPERATOR, users

KEPT = Path(".data/nats/access.json")
"""Where `centralita up` keeps its users' URLs, unless it is told another folder. Readable by its owner only."""


@dataclass(frozen=True, slots=True)
class Access:
    """A password for every user that the contracts know."""

    passwords: Mapping[str, str] = field(repr=False)

    @classmethod
    def new(cls) -> "Access":
        """Passwords that nobody has had before."""
        return cls({user.name: secrets.token_hex(24) for user in users()})

    def environment(self) -> dict[str, str]:
        """What nats-server reads. In quotes: it takes a value as it takes its file, and bare digits are a number."""
        return {user.password_variable: f'"{self.passwords[user.name]}"' for user in users()}

    def url(self, address: str, user: str) -> str:
        """The address with a user and password in it: a secret. Of several, with commas between them, each."""
        nodes = [urlsplit(node) for node in connection(address)["servers"]]
        named = [node._replace(netloc=f"{user}:{self.passwords[user]}@{node.netloc}") for node in nodes]
        return ",".join(urlunsplit(node) for node in named)

    def keep(self, file: Path, address: str) -> None:
        """Writes every user's URL where only the owner of the file may read it."""
        keep(file, json.dumps({user: self.url(address, user) for user in self.passwords}, indent=2))


def known(url: str, user: str, file: Path = KEPT) -> str:
    """The URL as it is, if it names a user or is not that of the kept run; else with the kept user and password."""
    if "@" in url:
        return url
    try:
        kept = str(json.loads(file.read_text())[user])
    except (OSError, ValueError, KeyError):
        return url
    return kept if public(kept) == public(url) else url


def is_of_run(url: str, file: Path = KEPT) -> bool:
    """Whether the URL is that of the kept run's bus, and names nobody."""
    return known(url, OPERATOR, file) != url


def password_of(url: str, user: str, file: Path = KEPT) -> str | None:
    """The user's password, if the URL has it, or is that of the kept run."""
    for candidate in (url, known(public(url), user, file)):
        to = connection(candidate)
        if to["user"] == user:
            return to["password"]
    return None


def public(url: str) -> str:
    """The URL without user and password, to be shown."""
    return ",".join(server.rstrip("/") for server in connection(url)["servers"])
