"""The users of an embedded NATS server: a random password each, and the file where the command line finds them."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from centralita.embedded.run_files import write_private_file
from chassis.addresses import connection
from contracts.permissions import OPERATOR, users

CREDENTIALS_FILE = Path(".data/nats/access.json")
"""Where `centralita up` stores the URL of each user, if it uses its default folder. Only its owner can read it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A password for every NATS user in the contracts."""

    passwords: Mapping[str, str] = field(repr=False)

    @classmethod
    def generate(cls) -> "Credentials":
        """Returns new random passwords."""
        return cls({user.name: secrets.token_hex(24) for user in users()})

    def environment(self) -> dict[str, str]:
        """Returns the variables that nats-server reads. They are quoted, because it parses bare digits as a number."""
        return {user.password_variable: f'"{self.passwords[user.name]}"' for user in users()}

    def url(self, address: str, user: str) -> str:
        """Returns the address, or each of several separated by commas, with user and password in it: a secret."""
        nodes = [urlsplit(node) for node in connection(address)["servers"]]
        named = [node._replace(netloc=f"{user}:{self.passwords[user]}@{node.netloc}") for node in nodes]
        return ",".join(urlunsplit(node) for node in named)

    def store(self, file: Path, address: str) -> None:
        """Writes the URL of every user to a file that only its owner can read."""
        write_private_file(file, json.dumps({user: self.url(address, user) for user in self.passwords}, indent=2))


def with_credentials(url: str, user: str, file: Path = CREDENTIALS_FILE) -> str:
    """Adds the stored user and password to the URL of the embedded run. Returns any other URL unchanged."""
    if "@" in url:
        return url
    try:
        stored = str(json.loads(file.read_text())[user])
    except (OSError, ValueError, KeyError):
        return url
    return stored if without_credentials(stored) == without_credentials(url) else url


def is_embedded_run(url: str, file: Path = CREDENTIALS_FILE) -> bool:
    """Returns whether the URL is the address of the embedded run and contains no user."""
    return with_credentials(url, OPERATOR, file) != url


def find_password(url: str, user: str, file: Path = CREDENTIALS_FILE) -> str | None:
    """Returns the user's password from the URL, or from the stored credentials if the URL is the embedded run's."""
    for candidate in (url, with_credentials(without_credentials(url), user, file)):
        options = connection(candidate)
        if options["user"] == user:
            return options["password"]
    return None


def without_credentials(url: str) -> str:
    """Returns the URL without user and password, for display."""
    return ",".join(server.rstrip("/") for server in connection(url)["servers"])
