"""``python -m edge.make_key NAME SCOPES [--campaign ID …]``: prints a new API key, and its entry for `API_KEYS`."""

import argparse

from edge.application.keys import Scope, create_key


def main(arguments: list[str] | None = None) -> None:
    """Prints the key and its entry. Exit code 2: a wrong name, scope or campaign."""
    parser = argparse.ArgumentParser("python -m edge.make_key", description="Creates an API key.")
    parser.add_argument("name", help="the key's user; audit entries carry this name")
    parser.add_argument("scopes", help=f"of {', '.join(Scope)}; joined by +, such as read+call")
    parser.add_argument(
        "--campaign", action="append", default=[], metavar="ID", help="limits the key to this campaign; may be repeated"
    )
    options = parser.parse_args(arguments)
    try:
        secret, key = create_key(options.name, options.scopes, options.campaign)
    except ValueError as error:
        parser.error(str(error))
    print(f"Key (for its user; it is not stored): {secret}")  # noqa: T201  the purpose of the command
    print(f"Entry (for API_KEYS):                 {key.entry()}")  # noqa: T201


if __name__ == "__main__":
    main()
