"""Dead letters: in groups, each beside its message, and resent or dropped after a page that asks.

The pages that ask have addresses and change nothing. A confirmation is a POST. Sent twice, the second one finds
no dead letters and does nothing: the REST API publishes a message again only once.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from starlette.convertors import IntegerConvertor, register_url_convertor

from centralita_console.authentication import Api, PostedForm
from centralita_console.letter_fields import fields_of
from centralita_console.pages.calls import next_cursor
from centralita_console.rendering import render
from centralita_console.rest_client import RestClient, RestFailure, Unreachable


class _SequenceConvertor(IntegerConvertor):
    regex = "[1-9][0-9]{0,14}"


register_url_convertor("letter", _SequenceConvertor())

router = APIRouter()
PAGE = 50
MAX_ACTS = 100
"""Dead letters of one confirmation. Each is a request, and the REST API resends one at a time."""
MAX_SHOWN = 10
"""Messages that a page which asks shows; the others are named."""
MAX_PAGES = 20
"""Requests for one group: each reads at most 2,000 dead letters."""
MAX_SEQUENCE = 10**15 - 1
MISSING_SCOPE = "missing-scope"
RATE_LIMITED = 429
Group = Annotated[str, Query(pattern="^([0-9a-f]{16})?$")]
Sequence = Annotated[int, Query(ge=0, le=MAX_SEQUENCE)]


class Act(StrEnum):
    """What a person may do to dead letters. The values are the names in the REST API."""

    RETRY = "retry"
    DROP = "drop"


async def _act(act: str) -> Act:
    try:
        return Act(act)
    except ValueError:
        raise HTTPException(404) from None


NamedAct = Annotated[Act, Depends(_act)]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an act on one dead letter. `kind`: `done`, `refused`, `gone`, or `unknown` without an answer."""

    sequence: int
    kind: str
    reason: str = ""
    stream: str = ""
    stored_sequence: int = 0
    call_id: str = ""


@router.get("/letters")
async def list_letters(request: Request, api: Api, group: Group = "", after: Sequence = 0) -> Response:
    """Lists the groups, and the dead letters of one; of the largest, if none is named."""
    try:
        counted = await api.get("/dead-letters/groups")
    except RestFailure as failure:
        return _without_scope(request, failure)
    groups = counted["groups"]
    chosen = group or (groups[0]["group"] if groups else "")
    page = await _page(api, chosen, after) if chosen else {"dead_letters": [], "next": None}
    return render(
        request,
        "letters.html",
        groups=groups,
        other_count=counted["other_count"],
        is_complete=counted["next"] is None,
        chosen=chosen,
        of_group=next((one for one in groups if one["group"] == chosen), None),
        letters=page["dead_letters"],
        next_cursor=next_cursor(page),
        is_first=not after,
    )


@router.get("/letters/sent")
async def show_sent(
    request: Request,
    api: Api,
    letter: Annotated[int, Query(ge=1, le=MAX_SEQUENCE)],
    stream: Annotated[str, Query(pattern="^[A-Za-z0-9_-]{1,100}$")],
    sequence: Annotated[int, Query(ge=1, le=MAX_SEQUENCE)],
    call_id: Annotated[str, Query(pattern="^([0-9a-f-]{36})?$")] = "",
) -> Response:
    """Shows what became of a message that was resent: its call, or the dead letter that it is again."""
    call: Mapping[str, Any] | None = None
    if call_id:
        try:
            call = await api.get(f"/calls/{call_id}")
        except RestFailure as failure:
            if failure.status not in (403, 404):
                raise
    try:
        listed = await api.get("/dead-letters", {"stream": stream, "cursor": letter})
    except RestFailure as failure:
        return _without_scope(request, failure)
    again = next((one for one in listed["dead_letters"] if one["message_sequence"] == sequence), None)
    return render(request, "letter_sent.html", letter=letter, stream=stream, sequence=sequence, call=call, again=again)


@router.get("/letters/{sequence:letter}")
async def show_letter(request: Request, api: Api, sequence: int) -> Response:
    """Shows one dead letter: the reason of each wrong field beside its value."""
    try:
        letter = await api.get(f"/dead-letters/{sequence}")
    except RestFailure as failure:
        return _without_scope(request, failure)
    return render(request, "letter.html", letter=letter, fields=fields_of(letter))


@router.get("/letters/{act}")
async def ask(
    request: Request,
    api: Api,
    act: NamedAct,
    letter: Annotated[list[int] | None, Query(max_length=MAX_ACTS)] = None,
    group: Group = "",
    after: Sequence = 0,
) -> Response:
    """Shows what is resent or dropped: the selected dead letters, or those of a group after a sequence."""
    chosen = list(dict.fromkeys(letter or ()))
    if any(not 0 < one <= MAX_SEQUENCE for one in chosen):
        raise HTTPException(404)
    has_more = False
    try:
        if group and not chosen:
            chosen, has_more = await _of_group(api, group, after)
        shown = [await _details(api, sequence) for sequence in chosen[:MAX_SHOWN]]
    except RestFailure as failure:
        return _without_scope(request, failure)
    return render(
        request,
        "letters_act.html",
        200 if chosen else 422,
        act=act,
        chosen=chosen,
        shown=shown,
        group=group,
        has_more=has_more,
    )


@router.post("/letters/{act}")
async def confirm(request: Request, fields: PostedForm, api: Api, act: NamedAct) -> Response:
    """Resends or drops the dead letters of a form, one after another, and shows what became of each."""
    chosen = _sequences(fields.get("letters", ""))
    results: list[Result] = []
    for sequence in chosen:
        try:
            results.append(await _done(api, act, sequence))
        except RestFailure as failure:
            if failure.kind == MISSING_SCOPE:
                return _without_scope(request, failure)
            if failure.status != RATE_LIMITED:
                raise
            break
    return render(
        request,
        "letters_done.html",
        act=act,
        results=results,
        left=chosen[len(results) :],
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
        kinds = {404: "gone", 409: "refused", 503: "unknown"}
        if failure.status not in kinds:
            raise
        return Result(sequence, kinds[failure.status], failure.detail)
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
        letter = await api.get(f"/dead-letters/{sequence}")
    except RestFailure as failure:
        if failure.status != 404:
            raise
        return {"sequence": sequence, "letter": None, "fields": []}
    return {"sequence": sequence, "letter": letter, "fields": fields_of(letter)}


async def _page(api: RestClient, group: str, after: int) -> dict[str, Any]:
    """Returns a page of a group that is not empty, unless the group is."""
    page: dict[str, Any] = {"dead_letters": [], "next": None}
    async for page in _pages(api, group, after):
        if page["dead_letters"]:
            break
    return page


async def _of_group(api: RestClient, group: str, after: int) -> tuple[list[int], bool]:
    """Returns the first dead letters of a group after a sequence, and whether others follow."""
    found: list[int] = []
    async for page in _pages(api, group, after):
        found += [one["sequence"] for one in page["dead_letters"]]
        if len(found) > MAX_ACTS:
            break
    return found[:MAX_ACTS], len(found) > MAX_ACTS


async def _pages(api: RestClient, group: str, after: int) -> AsyncIterator[dict[str, Any]]:
    """Yields the pages of a group. Those between its dead letters may be empty."""
    cursor = str(after)
    for _ in range(MAX_PAGES):
        page = await api.get("/dead-letters", {"group": group, "cursor": cursor, "limit": PAGE})
        yield page
        if not (cursor := next_cursor(page)):
            return


def _without_scope(request: Request, failure: RestFailure) -> Response:
    """Returns the page that says what a key without the scope lacks. Raises any other failure."""
    if failure.kind != MISSING_SCOPE:
        raise failure
    return render(request, "needs_admin.html", 403, subject="letters", detail=failure.detail)
