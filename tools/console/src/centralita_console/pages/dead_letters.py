"""Dead letters: in groups, each beside its message, and resent or dropped after a page that asks.

The pages that ask have addresses and change nothing. A confirmation is a POST. Sent twice, the second one finds
no dead letters and does nothing: the REST API publishes a message again only once.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from starlette.convertors import IntegerConvertor, register_url_convertor

from centralita_console.authentication import Api, PostedForm
from centralita_console.dead_letter_fields import fields_of
from centralita_console.rendering import render
from centralita_console.rest_client import RestClient, RestFailure, Unreachable
from centralita_console.rest_values import next_cursor


class _SequenceConvertor(IntegerConvertor):
    regex = "[1-9][0-9]{0,14}"


register_url_convertor("dead_letter", _SequenceConvertor())

router = APIRouter()
PAGE = 50
MAX_ACTS = 100
"""Dead letters of one confirmation. Each is a request, and the REST API resends one at a time."""
MAX_SHOWN = 10
"""Messages that a page which asks shows; the others are named."""
MAX_LOOKS = 30
"""How often a page looks by itself, every two seconds, what became of a message."""
MAX_PAGES = 20
"""Requests for one group: each reads at most 2,000 dead letters."""
MAX_SEQUENCE = 10**15 - 1
RATE_LIMITED = 429
Group = Annotated[str, Query(pattern="^([0-9a-f]{16})?$")]
Sequence = Annotated[int, Query(ge=0, le=MAX_SEQUENCE)]


class Act(StrEnum):
    """What a person may do to dead letters. The values are the names in the REST API."""

    RETRY = "retry"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an act on one dead letter. `kind`: `done`, `refused`, `gone`, or `unknown` without an answer."""

    sequence: int
    kind: str
    reason: str = ""
    stream: str = ""
    stored_sequence: int = 0
    call_id: str = ""


@router.get("/dead-letters")
async def list_dead_letters(request: Request, api: Api, group: Group = "", after: Sequence = 0) -> Response:
    """Lists the groups, and the dead letters of one; of the largest, if none is named."""
    counted = await api.get("/dead-letters/groups")
    groups = counted["groups"]
    chosen = group or (groups[0]["group"] if groups else "")
    page = await _page(api, chosen, after) if chosen else {"dead_letters": [], "next": None}
    return render(
        request,
        "dead_letters.html",
        groups=groups,
        other_count=counted["other_count"],
        is_complete=counted["next"] is None,
        chosen=chosen,
        of_group=next((one for one in groups if one["group"] == chosen), None),
        dead_letters=page["dead_letters"],
        next_cursor=next_cursor(page),
        is_first=not after,
    )


@router.get("/dead-letters/sent")
async def show_sent(
    request: Request,
    api: Api,
    dead_letter: Annotated[int, Query(ge=1, le=MAX_SEQUENCE)],
    stream: Annotated[str, Query(pattern="^[A-Za-z0-9_-]{1,100}$")],
    sequence: Annotated[int, Query(ge=1, le=MAX_SEQUENCE)],
    call_id: Annotated[str, Query(pattern="^([0-9a-f-]{36})?$")] = "",
    look: Annotated[int, Query(ge=0, le=MAX_LOOKS)] = 0,
) -> Response:
    """Shows what became of a message that was resent: its call, or the dead letter that it is again.

    The message may still wait. The page looks again by itself, at most `MAX_LOOKS` times.
    """
    call: Mapping[str, Any] | None = None
    if call_id:
        try:
            call = await api.get(f"/calls/{call_id}")
        except RestFailure as failure:
            if failure.status not in (403, 404):
                raise
    listed = await api.get("/dead-letters", {"stream": stream, "cursor": dead_letter})
    again = next((one for one in listed["dead_letters"] if one["message_sequence"] == sequence), None)
    return render(
        request,
        "dead_letter_sent.html",
        dead_letter=dead_letter,
        stream=stream,
        sequence=sequence,
        call=call,
        again=again,
        call_id=call_id,
        next_look=look + 1 if look < MAX_LOOKS else None,
    )


@router.get("/dead-letters/{sequence:dead_letter}")
async def show_dead_letter(request: Request, api: Api, sequence: int) -> Response:
    """Shows one dead letter: the reason of each wrong field beside its value."""
    dead_letter = await api.get(f"/dead-letters/{sequence}")
    return render(request, "dead_letter.html", dead_letter=dead_letter, fields=fields_of(dead_letter))


@router.get("/dead-letters/{act}")
async def ask(
    request: Request,
    api: Api,
    act: Act,
    dead_letter: Annotated[list[int] | None, Query(max_length=MAX_ACTS)] = None,
    group: Group = "",
    after: Sequence = 0,
) -> Response:
    """Shows what is resent or dropped: the selected dead letters, or those of a group after a sequence."""
    chosen = list(dict.fromkeys(dead_letter or ()))
    if any(not 0 < one <= MAX_SEQUENCE for one in chosen):
        raise HTTPException(404)
    has_more = False
    if group and not chosen:
        chosen, has_more = await _of_group(api, group, after)
    shown = [await _details(api, sequence) for sequence in chosen[:MAX_SHOWN]]
    return render(
        request,
        "dead_letters_act.html",
        200 if chosen else 422,
        act=act,
        chosen=chosen,
        shown=shown,
        group=group,
        has_more=has_more,
    )


@router.post("/dead-letters/{act}")
async def confirm(request: Request, fields: PostedForm, api: Api, act: Act) -> Response:
    """Resends or drops the dead letters of a form, one after another, and shows what became of each.

    It stops at the limit of the key, and at an act without an answer: others would wait as long for theirs.
    """
    chosen = _sequences(fields.get("dead_letters", ""))
    results: list[Result] = []
    is_limited = False
    for sequence in chosen:
        try:
            results.append(await _done(api, act, sequence))
        except RestFailure as failure:
            is_limited = failure.status == RATE_LIMITED
            if not is_limited and not results:
                raise
            break
        if results[-1].kind == "unknown":
            break
    return render(
        request,
        "dead_letters_done.html",
        act=act,
        results=results,
        left=chosen[len(results) :],
        is_limited=is_limited,
        group=fields.get("group", ""),
        last=chosen[-1],
    )


def _sequences(text: str) -> list[int]:
    """Returns the numbers in a field of a form, each once. Raises HTTPException."""
    texts = list(dict.fromkeys(text.split()))
    if not 0 < len(texts) <= MAX_ACTS or not all(one.isascii() and one.isdigit() and len(one) < 16 for one in texts):
        raise HTTPException(404)
    return [int(one) for one in texts]


async def _done(api: RestClient, act: Act, sequence: int) -> Result:
    """Acts on one dead letter. Raises RestFailure if the key may not, or has sent too many requests."""
    try:
        answer = await api.post(f"/dead-letters/{sequence}/{act}", {})
    except RestFailure as failure:
        kind = "unknown" if failure.status >= 500 else {404: "gone", 409: "refused"}.get(failure.status)
        if kind is None:
            raise
        return Result(sequence, kind, failure.detail)
    except Unreachable as error:
        return Result(sequence, "unknown", error.reason)
    return Result(
        sequence,
        "done",
        stream=answer.get("stream", ""),
        stored_sequence=answer.get("stored_sequence", 0),
        call_id=answer.get("call_id") or "",
    )


async def _details(api: RestClient, sequence: int) -> dict[str, Any]:
    """Returns a dead letter with its fields; only its number if there is none any more."""
    try:
        dead_letter = await api.get(f"/dead-letters/{sequence}")
    except RestFailure as failure:
        if failure.status != 404:
            raise
        return {"sequence": sequence, "dead_letter": None, "fields": []}
    return {"sequence": sequence, "dead_letter": dead_letter, "fields": fields_of(dead_letter)}


async def _page(api: RestClient, group: str, after: int) -> dict[str, Any]:
    """Returns a page of a group that is not empty, unless the group is."""
    page: dict[str, Any] = {"dead_letters": [], "next": None}
    async for page in _pages(api, group, after):
        if page["dead_letters"]:
            break
    return page


async def _of_group(api: RestClient, group: str, after: int) -> tuple[list[int], bool]:
    """Returns the first dead letters of a group after a sequence, and whether others may follow."""
    found: list[int] = []
    has_next = False
    async for page in _pages(api, group, after):
        found += [one["sequence"] for one in page["dead_letters"]]
        has_next = bool(next_cursor(page))
        if len(found) > MAX_ACTS:
            break
    return found[:MAX_ACTS], has_next or len(found) > MAX_ACTS


async def _pages(api: RestClient, group: str, after: int) -> AsyncIterator[dict[str, Any]]:
    """Yields the pages of a group. Those between its dead letters may be empty."""
    cursor = str(after)
    for _ in range(MAX_PAGES):
        page = await api.get("/dead-letters", {"group": group, "cursor": cursor, "limit": PAGE})
        yield page
        if not (cursor := next_cursor(page)):
            return
