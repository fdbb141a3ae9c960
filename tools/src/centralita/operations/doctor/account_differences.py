"""How an account of the server differs from the contracts: pure, from the answer of one node."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from centralita.operations.doctor.account_answers import NAMES, WITHOUT_ACCOUNT, Answer
from chassis.findings import listed
from contracts.accounts import SYSTEM, api_mapping, has_jetstream
from contracts.imports import Export, Kind, exports, imports

EXPORTED_BY_THE_SERVER = frozenset(
    (Kind.SERVICE, subject)
    for subject in ("$SYS.DEBUG.SUBSCRIBERS", "$SYS.REQ.USER.*.INFO", "$SYS.REQ.ACCOUNT.*.STATZ", "$JS.API.>")
)
"""What the system account exports to all accounts by itself (nats-server 2.15, ``addSystemAccountExports``)."""
EVERY_ACCOUNT = "every account"
_RESPONSES = {True: "Streamed", False: "Singleton"}


def differences(account: str, answer: Answer) -> Iterator[str]:
    """Yields how the answer of a node about an account differs from the contracts, each with a few subjects."""
    if account == NAMES:
        return
    if (found := (answer.get("data") or {}).get("account_detail")) is None:
        if account != WITHOUT_ACCOUNT:
            yield str((answer.get("error") or {}).get("description") or "the server does not describe it")
        return
    if bool(found.get("is_system")) != (account == SYSTEM):
        yield "is the system account" if found.get("is_system") else "is not the system account"
    if account in (SYSTEM, WITHOUT_ACCOUNT) and (count := found.get("client_connections")):
        yield f"has {count} connections; no user of the contracts is in it"
    has_streams = account != WITHOUT_ACCOUNT and has_jetstream(account)
    if bool(found.get("jetstream_enabled")) != has_streams:
        yield f"JetStream is {'off, not on' if has_streams else 'on, not off'}"
    yield from _mappings(account, found.get("mappings") or {}, has_streams=has_streams)
    yield from _imports(account, found.get("imports") or ())
    yield from _exports(account, found.get("exports") or ())


def _mappings(account: str, found: Mapping[str, Any], *, has_streams: bool) -> Iterator[str]:
    wanted = {" to ".join(api_mapping(account))} if has_streams else set()
    actual = {f"{source} to {_targets(targets)}" for source, targets in found.items()}
    yield from _listed("does not map", wanted - actual)
    yield from _listed("maps", actual - wanted)


def _targets(targets: Collection[Mapping[str, Any]]) -> str:
    whole = [one["subject"] for one in targets if one.get("weight") == 100 and not one.get("cluster")]
    return str(whole[0]) if len(whole) == len(targets) == 1 else str([dict(one) for one in targets])


def _imports(account: str, found: Collection[Mapping[str, Any]]) -> Iterator[str]:
    wanted = {_import(one.exporter, one.kind, one.subject, one.local) for one in imports() if one.importer == account}
    own = [one for one in found if not _is_made_by_the_server(account, one)]
    actual = {_import(one["account"], one["type"], one["subject"], one.get("local_subject", "")) for one in own}
    yield from _listed("does not import", wanted - actual)
    yield from _listed("imports", actual - wanted)
    yield from _listed("imports without being permitted", {one["subject"] for one in own if one.get("invalid")})
    yield from _listed("tells who it is with", {one["subject"] for one in own if one.get("share")})


def _import(exporter: str, kind: str, subject: str, local: str) -> str:
    if subject.startswith("$JS.API.") and local == subject.replace("$JS.", f"$JS.{exporter}.", 1):
        return local  # which names the account
    renamed = f" as {local}" if local not in ("", subject) else ""
    return f"{_subject(kind, subject)} from {exporter}{renamed}"


def _subject(kind: str, subject: str) -> str:
    return subject if kind == Kind.SERVICE else f"{kind} {subject}"


def _is_made_by_the_server(account: str, one: Mapping[str, Any]) -> bool:
    """Returns whether the server adds an import to each account: its JetStream, and requests about itself."""
    if one["account"] != SYSTEM or one["type"] != Kind.SERVICE:
        return False
    subject = str(one["subject"])
    return subject == "$JS.API.>" or subject.startswith((f"$SYS.REQ.ACCOUNT.{account}.", f"$SYS.REQ.USER.{account}."))


def _exports(account: str, found: Collection[Mapping[str, Any]]) -> Iterator[str]:
    wanted = [one for one in exports() if one.exporter == account]
    own = [one for one in found if not _is_exported_by_the_server(account, one)]
    expected = {f"{_subject(one.kind, one.subject)} to {importer}" for one in wanted for importer in one.importers}
    actual = {
        f"{_subject(one['type'], one['subject'])} to {importer}"
        for one in own
        for importer in one.get("approved_accounts") or (EVERY_ACCOUNT,)
    }
    yield from _listed("does not export", expected - actual)
    yield from _listed("exports", actual - expected)
    yield from _responses(wanted, own)


def _responses(wanted: Collection[Export], found: Collection[Mapping[str, Any]]) -> Iterator[str]:
    """Yields the services with another kind of replies: of several, all but the first would be lost."""
    expected = {one.subject: _RESPONSES[one.has_many_replies] for one in wanted if one.kind is Kind.SERVICE}
    actual = {one["subject"]: one.get("response_type") for one in found if one["type"] == Kind.SERVICE}
    different = {
        f"{subject} ({actual[subject]}, not {response})"
        for subject, response in expected.items()
        if subject in actual and actual[subject] != response
    }
    yield from _listed("has another kind of replies to", different)


def _is_exported_by_the_server(account: str, one: Mapping[str, Any]) -> bool:
    is_public = not one.get("approved_accounts")
    return account == SYSTEM and is_public and (one["type"], one["subject"]) in EXPORTED_BY_THE_SERVER


def _listed(text: str, names: Collection[str]) -> Iterator[str]:
    if names:
        yield listed(text, names)
