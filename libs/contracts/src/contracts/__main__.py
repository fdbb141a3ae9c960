"""``python -m contracts store`` writes the generated documents, ``check`` compares them with the code."""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from contracts.compatibility import breaking_changes
from contracts.documents import asyncapi, events_table, schema_of
from contracts.events import EVENTS

BESIDE_THE_PACKAGE = Path(__file__).resolve().parents[2]
_TABLE = re.compile(r"(<!-- events -->\n).*?(<!-- /events -->)", re.DOTALL)


def schema_documents() -> dict[str, str]:
    """Returns the texts of the schemas by path: ``schemas/<event name>.v<version>.json``."""
    return {f"schemas/{event.type_name()}.json": _text(schema_of(event)) for event in EVENTS.values()}


def documents(folder: Path) -> dict[str, str]:
    """Returns every text that `store` writes, by path within `folder`; the README, if present, with a new table."""
    found = {**schema_documents(), "asyncapi.json": _text(asyncapi())}
    readme = folder / "README.md"
    if readme.exists():
        written = readme.read_text(encoding="utf-8")
        found["README.md"] = _TABLE.sub(lambda match: f"{match[1]}{events_table()}\n{match[2]}", written)
    return found


def broken(folder: Path) -> Iterator[str]:
    """Yields a line per breaking change of a stored schema whose event kept its version or was removed."""
    generated = schema_documents()
    newest = {event.event_name: event.version for event in EVENTS.values()}
    for stored in sorted((folder / "schemas").glob("*.json")):
        path = f"schemas/{stored.name}"
        fact, _, version = stored.name.removesuffix(".json").rpartition(".v")
        if path in generated:
            old = json.loads(stored.read_text(encoding="utf-8"))
            yield from (f"{path}: {change}" for change in breaking_changes(old, json.loads(generated[path])))
        elif int(version) >= newest.get(fact, 0):
            yield f"{path}: the event was removed"


def drift(folder: Path) -> list[str]:
    """Returns a line per document that is missing or differs from the code."""
    changed = []
    for path, text in documents(folder).items():
        file = folder / path
        if not file.exists():
            changed.append(f"{path}: not stored")
        elif file.read_text(encoding="utf-8") != text:
            changed.append(f"{path}: differs from the code")
    return changed


def store(folder: Path) -> list[str]:
    """Writes all documents, or none if a change is breaking. Returns the breaking changes."""
    breaking = list(broken(folder))
    if not breaking:
        for path, text in documents(folder).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    return breaking


def _text(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Returns exit code 0 if the documents were stored or are current; otherwise 1, and prints a line per problem."""
    parser = argparse.ArgumentParser(prog="python -m contracts", description=__doc__)
    parser.add_argument("action", choices=["store", "check"])
    parser.add_argument("--folder", type=Path, default=BESIDE_THE_PACKAGE, help="holds schemas/ and asyncapi.json")
    chosen = parser.parse_args(arguments)
    if chosen.folder == BESIDE_THE_PACKAGE and not (chosen.folder / "pyproject.toml").exists():
        parser.error("the package is not installed from its sources; add --folder with the folder of libs/contracts")
    if chosen.action == "store":
        wrong, advice = store(chosen.folder), "nothing was written; raise the version of the event, or undo the change"
    else:
        wrong = [*broken(chosen.folder), *drift(chosen.folder)]
        advice = "run `make contracts`"
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    if wrong:
        sys.stderr.write(f"{advice}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
