"""How the doctor reads what nats-server 2.15 says of an account, where no configuration file can produce the case."""

from typing import Any

import pytest

from centralita.operations.doctor.account_answers import WITHOUT_ACCOUNT
from centralita.operations.doctor.account_differences import EXPORTED_BY_THE_SERVER, differences
from chassis.findings import MAX_LISTED
from contracts.accounts import CENTRAL, SYSTEM, api_mapping, has_jetstream
from contracts.imports import accounts, exports, imports


def answer_about(account: str) -> dict[str, Any]:
    """Returns the answer of a server whose account is as the contracts define it."""
    source, target = api_mapping(account)
    own = [
        ("$JS.API.>", "$JS.API.>"),
        (f"$SYS.REQ.ACCOUNT.{account}.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ"),
        (f"$SYS.REQ.USER.{account}.INFO", "$SYS.REQ.USER.INFO"),
    ]
    return {
        "account_name": account,
        "is_system": account == SYSTEM,
        "jetstream_enabled": has_jetstream(account),
        "mappings": {source: [{"subject": target, "weight": 100}]} if has_jetstream(account) else None,
        "imports": [
            {"account": one.exporter, "type": str(one.kind), "subject": one.subject, "local_subject": one.local}
            for one in imports()
            if one.importer == account
        ]
        + [
            {"account": SYSTEM, "type": "service", "subject": subject, "local_subject": local, "share": True}
            for subject, local in own
        ],
        "exports": [
            {
                "type": str(one.kind),
                "subject": one.subject,
                "approved_accounts": list(one.importers),
                "response_type": "Streamed" if one.has_many_replies else "Singleton",
            }
            for one in exports()
            if one.exporter == account
        ]
        + [{"type": kind, "subject": subject} for kind, subject in EXPORTED_BY_THE_SERVER if account == SYSTEM],
    }


def found(account: str, answer: dict[str, Any]) -> list[str]:
    return [*differences(account, {"data": {"account_detail": answer}})]


@pytest.mark.parametrize("account", accounts())
def test_an_account_of_the_contracts_has_no_difference(account: str) -> None:
    assert found(account, answer_about(account)) == []


def test_an_import_that_the_exporter_does_not_permit_is_named() -> None:
    answer = answer_about("VOICE")
    answer["imports"][0]["invalid"] = True
    assert found("VOICE", answer) == [f"imports without being permitted {answer['imports'][0]['subject']}"]


def test_an_import_that_shows_the_client_is_named() -> None:
    answer = answer_about("VOICE")
    answer["imports"][0]["share"] = True
    assert found("VOICE", answer) == [f"tells who it is with {answer['imports'][0]['subject']}"]


def test_requests_about_another_account_are_not_taken_for_those_that_the_server_permits_to_each() -> None:
    answer = answer_about("VOICE")
    subject = "$SYS.REQ.ACCOUNT.EDGE.CONNZ"
    answer["imports"].append({"account": SYSTEM, "type": "service", "subject": subject, "local_subject": subject})
    assert found("VOICE", answer) == [f"imports {subject} from {SYSTEM}"]


def test_a_public_export_of_an_account_is_not_taken_for_one_of_the_server() -> None:
    answer = answer_about(CENTRAL)
    answer["exports"].append({"type": "service", "subject": "$JS.API.>", "response_type": "Singleton"})
    assert found(CENTRAL, answer) == ["exports $JS.API.> to every account"]


def test_another_system_account_is_named() -> None:
    assert "is not the system account" in found(SYSTEM, answer_about(SYSTEM) | {"is_system": False})
    assert "is the system account" in found("VOICE", answer_about("VOICE") | {"is_system": True})


def test_a_mapping_to_several_subjects_is_named() -> None:
    answer = answer_about("VOICE")
    answer["mappings"]["$JS.VOICE.API.>"][0]["weight"] = 50
    (missing, other) = found("VOICE", answer)
    assert missing == "does not map $JS.VOICE.API.> to $JS.API.>"
    assert other == "maps $JS.VOICE.API.> to [{'subject': '$JS.API.>', 'weight': 50}]"


def test_an_account_of_the_server_must_be_empty() -> None:
    empty = answer_about(WITHOUT_ACCOUNT) | {"jetstream_enabled": False, "mappings": None}
    assert found(WITHOUT_ACCOUNT, empty) == []
    assert found(WITHOUT_ACCOUNT, empty | {"client_connections": 2, "jetstream_enabled": True}) == [
        "has 2 connections; no user of the contracts is in it",
        "JetStream is on, not off",
    ]
    assert [*differences(WITHOUT_ACCOUNT, {"data": None, "error": {"description": "does not exist"}})] == []


def test_an_account_without_anything_is_described_in_few_words() -> None:
    empty = {"account_name": CENTRAL, "jetstream_enabled": True}
    texts = found(CENTRAL, empty)
    assert [text.partition(" $")[0] for text in texts] == ["does not map", "does not import", "does not export"]
    for text in texts[1:]:
        assert text.count(", ") == MAX_LISTED - 1
        assert text.endswith(" more")
    assert len("; ".join(texts)) < 1_000
