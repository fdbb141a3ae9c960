"""Check that the accounts in force on each node of the server are those of the contracts.

Imports are the wall between the users (`contracts.imports`): with others, the server protects less than it should, or
leaves requests without an answer. Each node reads a configuration file of its own, so each one is asked.
"""

from collections.abc import Iterator

from nats.aio.client import Client

from centralita.operations.doctor.account_answers import NAMES, WITHOUT_ACCOUNT, Answers, ask_nodes, requested_accounts
from centralita.operations.doctor.account_differences import differences
from centralita.operations.doctor.permissions import RELOAD
from chassis.account_checks import read_own_user
from chassis.bus_checks import MAY_NOT_READ
from chassis.findings import Finding, failed, listed, ok, skipped, warning
from chassis.jetstream_info import ask
from contracts.accounts import ADMIN, account_of, api_subject
from contracts.imports import accounts, imports
from contracts.permissions import ACCOUNT_INFO, OPERATOR
from contracts.streams import CALLS

_AREA_NODES = "accounts of all nodes"


async def check(area: str, client: Client) -> list[Finding]:
    """Returns a finding for each account that differs, for unknown accounts, and for nodes that do not answer."""
    own = await read_own_user(client)
    if own is None or own.account not in accounts():
        return [skipped(area, "accounts", "the server has none")]
    if own.account not in (account_of(OPERATOR), account_of(ADMIN)):
        return [failed(area, "accounts", f"the server does not show them to {own.name}", MAY_NOT_READ)]
    if not own.may_publish(ACCOUNT_INFO):
        return [failed(area, "accounts", f"{own.name} may not request them ({ACCOUNT_INFO})", RELOAD)]
    nodes = await _nodes_of_calls(client)
    answers = await ask_nodes(client, nodes)
    complete = {node: found for node, found in answers.items() if found.keys() == set(requested_accounts())}
    if not complete:
        return [failed(area, "accounts", f"the server does not answer {ACCOUNT_INFO}", RELOAD)]
    findings = [*_different(area, complete), *_unknown(area, complete)]
    if silent := (nodes | answers.keys()) - complete.keys():
        advice = "start them, and run this command again: each node has its own copy of deploy/nats/permissions.conf"
        findings.append(warning(area, _AREA_NODES, listed("no answer from", silent), advice))
    return findings or [_equal(area, complete)]


async def _nodes_of_calls(client: Client) -> set[str]:
    """Returns the names of the nodes that keep `CALLS`, which must answer; empty if its settings cannot be read."""
    cluster = (await ask(client, api_subject("STREAM.INFO", CALLS.name))).get("cluster") or {}
    names = [cluster.get("leader"), *(one.get("name") for one in cluster.get("replicas") or ())]
    return {name for name in names if name}


def _different(area: str, answers: Answers) -> Iterator[Finding]:
    for account in requested_accounts():
        nodes: dict[str, list[str]] = {}
        for node, found in sorted(answers.items()):
            if text := "; ".join(differences(account, found[account])):
                nodes.setdefault(text, []).append(node)
        if nodes:
            found_text = ". ".join(_on(which, text, answers) for text, which in nodes.items())
            yield failed(area, f"account {account}", found_text, RELOAD)


def _on(nodes: list[str], text: str, answers: Answers) -> str:
    return text if len(nodes) == len(answers) else f"{listed('on', nodes)}: {text}"


def _unknown(area: str, answers: Answers) -> Iterator[Finding]:
    present = {name for found in answers.values() for name in (found[NAMES].get("data") or {}).get("accounts") or ()}
    if unknown := present - {*accounts(), WITHOUT_ACCOUNT}:
        advice = (
            "remove them from the configuration of nats-server, unless another system shares it: they import nothing "
            "of ours, but share its disk"
        )
        yield warning(area, "other accounts", listed("the contracts do not know", unknown), advice)


def _equal(area: str, answers: Answers) -> Finding:
    found = f"{len(accounts())} accounts and {len(imports())} imports are equal to the contracts"
    return ok(area, "accounts", listed(f"{found} on", answers) if len(answers) > 1 else found)
