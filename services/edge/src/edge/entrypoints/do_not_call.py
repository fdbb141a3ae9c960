"""The REST API of the do-not-call lists. A number is never part of a path, because proxies log paths."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.convertors import StringConvertor, register_url_convertor

from contracts import CampaignId, PhoneNumber
from contracts.number_state import ListScope
from contracts.values import DoNotCallListName
from edge.application.do_not_call import ONE_LIST, DoNotCallNumber
from edge.application.number_acts import NumberActs
from edge.application.number_import import ImportedNumbers
from edge.entrypoints.audit import MAX_SEQUENCE
from edge.entrypoints.openapi import problems
from edge.entrypoints.scopes import PREFIX, CreateRoute, ReadRoute, create_router, key_of

MAX_PAGE = 1_000
_NUMBER_ID = "{number_id:digest}"


class _DigestConvertor(StringConvertor):
    regex = "[0-9a-f]{32}"


register_url_convertor("digest", _DigestConvertor())

read_router = create_router(ReadRoute, "/do-not-call", "Do not call")
act_router = create_router(CreateRoute, "/do-not-call", "Do not call")

NumberId = Annotated[str, Path(min_length=32, max_length=32, description="`id` of the number: its digest")]
OfCampaign = Annotated[CampaignId | None, Query(description="left out: a named list, or that of all campaigns")]
OfList = Annotated[DoNotCallListName | None, Query(description="left out: that of a campaign, or of all campaigns")]
ConcerningCampaign = Annotated[CampaignId | None, Query(description="only entries that concern it")]
ConcerningList = Annotated[DoNotCallListName | None, Query(description="only entries of this list")]


class NumberToCheck(BaseModel):
    """A number."""

    model_config = ConfigDict(extra="forbid")

    phone_number: PhoneNumber = Field(description="E.164")


class NumberToList(NumberToCheck):
    """A number that must not be called."""

    campaign_id: CampaignId | None = Field(default=None, description="null: in no campaign, or a named list")
    list_name: DoNotCallListName | None = Field(
        default=None, description="the named list; it applies to the campaigns that name it; null: none"
    )


class DoNotCallPage(BaseModel):
    """Listed numbers; a page may have fewer than `limit`, or none, although another one follows."""

    numbers: list[DoNotCallNumber]
    next: str | None = Field(description="path of the next page; null: this is the last one")


def _acts(request: Request) -> NumberActs:
    acts: NumberActs = request.app.state.number_acts
    return acts


@read_router.get("", response_model=DoNotCallPage)
async def list_numbers(
    request: Request,
    campaign_id: ConcerningCampaign = None,
    list_name: ConcerningList = None,
    cursor: Annotated[int, Query(ge=0, le=MAX_SEQUENCE, description="set by `next`; default: at the start")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="how many numbers are examined")] = MAX_PAGE,
) -> DoNotCallPage:
    """Lists the numbers that must not be called. One that changes meanwhile may be on two pages."""
    concerning = _scope(campaign_id, list_name, "query")
    lists, campaigns = _acts(request).lists, key_of(request).campaigns
    page = await lists.page(concerning, campaigns, after_sequence=cursor, limit=limit)
    query = {**concerning._asdict(), "limit": limit, "cursor": page.next_sequence}
    path = urlencode({name: value for name, value in query.items() if value is not None})
    has_next = page.next_sequence is not None
    return DoNotCallPage(numbers=list(page.numbers), next=f"{PREFIX}/do-not-call?{path}" if has_next else None)


@read_router.post("/check", response_model=DoNotCallNumber)
async def check_number(
    request: Request,
    number: NumberToCheck,
    campaign_id: ConcerningCampaign = None,
    list_name: ConcerningList = None,
) -> DoNotCallNumber:
    """Returns the entries of a number, and its id. Without an entry it may be called."""
    concerning = _scope(campaign_id, list_name, "query")
    return await _acts(request).lists.check(number.phone_number, concerning, key_of(request).campaigns)


@act_router.post(
    "",
    name="number.block",
    status_code=201,
    response_model=DoNotCallNumber,
    responses={202: {"model": DoNotCallNumber, "description": "Stored, not yet decided"}, **problems(409)},
)
async def add_number(request: Request, number: NumberToList, response: Response) -> DoNotCallNumber:
    """Lists a number. It counts for every call that is not dialled yet. Listing it again changes nothing."""
    scope = _scope(number.campaign_id, number.list_name, "body")
    added, is_decided = await _acts(request).add(key_of(request), number.phone_number, scope)
    response.status_code = 201 if is_decided else 202
    return added


@act_router.post(
    "/import",
    name="number.import",
    response_model=ImportedNumbers,
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def import_numbers(request: Request) -> ImportedNumbers:
    """Lists the numbers of a CSV file in UTF-8. Its first line names `phone_number`, `campaign_id` and `list_name`.

    A row with neither a campaign nor a list means all campaigns. Wrong rows are refused with their line, and the others
    are added. The same file again changes nothing. One import per key runs at a time. Numbers that are added count for
    `MAX_CONTACTS_PER_KEY_PER_DAY`; above it, the answer is 429 and names the first row that was not added.
    """
    body = await request.body()
    try:
        return await _acts(request).import_csv(key_of(request), body.decode("utf-8"))
    except UnicodeDecodeError:
        message = "the file is not UTF-8; save it as UTF-8"
        raise RequestValidationError([{"type": "value_error", "loc": ("body",), "msg": message}]) from None


@act_router.delete(
    f"/{_NUMBER_ID}",
    name="number.unblock",
    response_model=DoNotCallNumber,
    response_description="The entries that remain",
    responses={202: {"model": DoNotCallNumber, "description": "Stored, not yet decided"}, **problems(404, 409)},
)
async def remove_number(
    request: Request,
    number_id: NumberId,
    response: Response,
    campaign_id: OfCampaign = None,
    list_name: OfList = None,
) -> DoNotCallNumber:
    """Removes the entry of all campaigns, of one, or of a named list. An opt-out is an entry of all campaigns."""
    scope = _scope(campaign_id, list_name, "query")
    after, is_decided = await _acts(request).remove(key_of(request), number_id, scope)
    response.status_code = 200 if is_decided else 202
    return after


def _scope(campaign_id: str | None, list_name: str | None, place: str) -> ListScope:
    if campaign_id and list_name:
        raise RequestValidationError([{"type": "value_error", "loc": (place, "list_name"), "msg": ONE_LIST}])
    return ListScope(campaign_id, list_name)
