"""Importing a file of numbers that must not be called: rows that cannot be read, sizes, and failures."""

import asyncio
import csv
from itertools import islice, product
from string import ascii_lowercase
from typing import Any, cast

import pytest

from contracts import CommandOutcome, NumberBlockRequested
from contracts.number_digests import NumberDigests
from edge.application.do_not_call import MAX_COLUMNS, MAX_SHOWN, DoNotCallLists, ImportedNumbers
from edge.application.errors import TooManyImports, Unacceptable
from edge.application.keys import Key, Scope
from edge.application.number_acts import NumberActs
from edge.ports import Unavailable

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


def lists(requests: AcceptingRequests | UnavailableRequests) -> DoNotCallLists:
    if isinstance(requests, AcceptingRequests):
        requests.may_answer.set()
    unused = cast("Any", None)
    return DoNotCallLists(unused, unused, cast("Any", requests), NumberDigests(b"k" * 32))


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
    acts = NumberActs(lists(requests), cast("Any", IgnoredAudit()))
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
