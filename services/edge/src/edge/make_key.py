"""``python -m edge.make_key NAME SCOPES``: a new API key, shown this once, and what is stored of it."""

import argparse

from edge.application.keys import Scope, made


def main(arguments: list[str] | None = None) -> None:
    """Prints the key and its entry for ``API_KEYS``. Exit code 2: a wrong name or scope."""
    parser = argparse.ArgumentParser("python -m edge.make_key", description="Makes an API key.")
    parser.add_argument("name", help="whose it is; the audit calls its acts by this name")
    parser.add_argument("scopes", help=f"of {', '.join(Scope)}; joined by +, such as read+call")
    given = parser.parse_args(arguments)
    try:
        secret, key = made(given.name, given.scopes)
    except ValueError as error:
        parser.error(str(error))
    print(f"The key, for whoever uses it; it is stored nowhere: {secret}")  # noqa: T201  what the command is for
    print(f"Its entry, for API_KEYS:                            {key.entry()}")  # noqa: T201


if __name__ == "__main__":
    main()
