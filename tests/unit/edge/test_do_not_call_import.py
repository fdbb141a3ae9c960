"""Importing a file of numbers that must not be called: rows that cannot be read, sizes, and failures."""

import asyncio
import csv
from collections.abc import Sequence
from itertools import islice, product
from string import ascii_lowercase
from typing import Any, cast

import pytest
from tests.builders.calls import NOW

from contracts import CommandOutcome, NumberBlockRequested, NumberState
from contracts.number_digests import NumberDigests
from contracts.number_state import ALL_CAMPAIGNS, DoNotCallEntry, ListScope
from contracts.vocabulary import DoNotCallSource
from edge.application.errors import TooManyImports, Unacceptable
from edge.application.keys import Key, Scope
from edge.application.number_acts import NumberActs
from edge.application.number_import import MAX_COLUMNS, MAX_SHOWN, ImportedNumbers, NumberImports
from edge.ports import Unavailable, Unreadable

NUMBER, OTHER = "+12125550123", "+12125550124"


class AcceptingRequests:
    """Accepts every command, after `may_answer`."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.may_answer = asyncio.Event()

    async def send(self, request: NumberBlockRequested) -> CommandOutcome:
        self.numbers.append(request.phone_number)
        await self.may_answer.wait()
        return CommandOutcome(accepted=True)


class UnavailableRequests:
    async def send(self, _: NumberBlockRequested) -> CommandOutcome:
        raise Unavailable("no connection to NATS")


class IgnoredAudit:
    async def append(self, _: object) -> None:
        """Stores nothing."""


class KnownNumbers:
    """The lists. `settled`: whether all commands are decided when that is asked the first, the second, … time."""

    def __init__(self, listed: Sequence[NumberState | Exception] = (), settled: Sequence[bool] = (True,)) -> None:
        self._listed = iter(listed)
        self._settled = iter(settled)

    async def get(self, number_digest: str) -> NumberState:
        found = next(self._listed, NumberState(number_digest=number_digest))
        if isinstance(found, Exception):
            raise found
        return found

    async def is_settled(self) -> bool:
        return next(self._settled)


def lists(requests: AcceptingRequests | UnavailableRequests, numbers: KnownNumbers | None = None) -> NumberImports:
    if isinstance(requests, AcceptingRequests):
        requests.may_answer.set()
    return NumberImports(cast("Any", numbers or KnownNumbers()), cast("Any", requests), NumberDigests(b"k" * 32))


def listed(*scopes: ListScope, is_listed: bool = True) -> NumberState:
    entry = DoNotCallEntry(changed_at=NOW, source=DoNotCallSource.IMPORT, is_listed=is_listed)
    entries = tuple(entry.model_copy(update=scope._asdict()) for scope in scopes)
    return NumberState(number_digest="ab" * 16, do_not_call=entries)


async def imported(text: str) -> ImportedNumbers:
    return await lists(AcceptingRequests()).import_csv(text, None)


async def test_a_failure_of_the_bus_is_the_failure_of_the_import() -> None:
    with pytest.raises(Unavailable, match="no connection to NATS"):
        await lists(UnavailableRequests()).import_csv(f"phone_number\n{NUMBER}\n{OTHER}\n", None)


async def test_a_row_with_an_open_quote_is_refused_and_the_others_are_added() -> None:
    text = f'phone_number\n{NUMBER}\n"{"1" * csv.field_size_limit()}1\n{OTHER}\n'
    result = await imported(text)
    assert (result.added, result.refused) == (2, 1)
    assert "check its quotes" in result.refused_rows[0].reason


async def test_a_refused_row_is_named_by_the_line_at_which_it_begins() -> None:
    text = f'phone_number,note\r\n{NUMBER},"a\r\nb"\r\n\r\n{OTHER},a\u2028b\r\n1,"a\nb"\r\n2,\r\n'
    result = await imported(text)
    assert (result.added, [row.line for row in result.refused_rows]) == (2, [6, 8])


async def test_a_first_line_that_is_no_csv_or_has_too_many_columns_is_refused() -> None:
    with pytest.raises(Unacceptable, match="check its quotes"):
        await imported(f'"{"a" * csv.field_size_limit()}a\n1\n')
    names = ["".join(letters) for letters in islice(product(ascii_lowercase, repeat=2), MAX_COLUMNS)]
    with pytest.raises(Unacceptable, match=f"{MAX_COLUMNS + 1} columns"):
        await imported(f"phone_number,{','.join(names)}\n{NUMBER}\n")


async def test_the_first_refused_rows_are_named_and_all_are_counted() -> None:
    count = 5 * MAX_SHOWN
    result = await imported("phone_number\n" + "1\n" * count)
    assert result.refused == count
    assert [row.line for row in result.refused_rows] == list(range(2, MAX_SHOWN + 2))


async def test_one_import_of_a_key_runs_at_a_time() -> None:
    requests, key = AcceptingRequests(), Key("crm", frozenset({Scope.CALL}), "0" * 64)
    imports = lists(requests, KnownNumbers(settled=(True, True)))
    acts = NumberActs(cast("Any", None), imports, cast("Any", IgnoredAudit()))
    requests.may_answer.clear()
    text = f"phone_number\n{NUMBER}\n"
    running = asyncio.create_task(acts.import_csv(key, text))
    while not requests.numbers:
        await asyncio.sleep(0)
    with pytest.raises(TooManyImports):
        await acts.import_csv(key, text)
    requests.may_answer.set()
    assert (await running).added == 1
    assert (await acts.import_csv(key, text)).added == 1


async def test_a_number_that_is_on_the_list_already_is_not_sent_again() -> None:
    states = (
        listed(ALL_CAMPAIGNS),
        listed(ListScope("spring"), ListScope(list_name="vip")),
        listed(ALL_CAMPAIGNS, is_listed=False),
        Unreadable("of a newer build"),
    )
    rows = "phone_number\n" + "".join(f"+1212555012{digit}\n" for digit in range(4))
    requests = AcceptingRequests()
    result = await lists(requests, KnownNumbers(states)).import_csv(rows, None)
    assert (result.added, result.already_listed, result.refused) == (3, 1, 0)
    assert requests.numbers == [f"+1212555012{digit}" for digit in (1, 2, 3)]


async def test_rows_are_sent_until_every_earlier_command_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal that precedes the import and is not decided yet would take the number off the list after it."""
    monkeypatch.setattr("edge.application.number_import.BATCH", 1)
    numbers = KnownNumbers([listed(ALL_CAMPAIGNS)] * 2, settled=(False, False, True))
    requests = AcceptingRequests()
    result = await lists(requests, numbers).import_csv(f"phone_number\n{NUMBER}\n{OTHER}\n{NUMBER}\n{OTHER}\n", None)
    assert (requests.numbers, result.already_listed) == ([NUMBER, OTHER], 2)
