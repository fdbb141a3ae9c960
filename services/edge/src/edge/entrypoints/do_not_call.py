"""The REST API of the do-not-call lists. A number is never part of a path, because proxies log paths."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.convertors import StringConvertor, register_url_convertor

from contracts import CampaignId, PhoneNumber
from edge.application.do_not_call import NUMBER_COLUMN, DoNotCallNumber, ImportedNumbers, WrongHeader
from edge.application.number_acts import NumberActs
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
OfCampaign = Annotated[CampaignId | None, Query(description="left out: the list of all campaigns")]


class NumberToCheck(BaseModel):
    """A number."""

    model_config = ConfigDict(extra="forbid")

    phone_number: PhoneNumber = Field(description="E.164")


class NumberToList(NumberToCheck):
    """A number that must not be called."""

    campaign_id: CampaignId | None = Field(default=None, description="null: in no campaign")


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
    campaign_id: Annotated[CampaignId | None, Query(description="only entries that concern it")] = None,
    cursor: Annotated[int, Query(ge=0, le=MAX_SEQUENCE, description="set by `next`; default: at the start")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="how many numbers are examined")] = MAX_PAGE,
) -> DoNotCallPage:
    """Lists the numbers that must not be called. One that changes meanwhile may be on two pages."""
    page = await _acts(request).lists.page(campaign_id, after_sequence=cursor, limit=limit)
    query = {"campaign_id": campaign_id, "limit": limit, "cursor": page.next_sequence}
    path = urlencode({name: value for name, value in query.items() if value is not None})
    has_next = page.next_sequence is not None
    return DoNotCallPage(numbers=list(page.numbers), next=f"{PREFIX}/do-not-call?{path}" if has_next else None)


@read_router.post("/check", response_model=DoNotCallNumber)
async def check_number(
    request: Request,
    number: NumberToCheck,
    campaign_id: Annotated[CampaignId | None, Query(description="only entries that concern it")] = None,
) -> DoNotCallNumber:
    """Returns the entries of a number, and its id. Without an entry it may be called."""
    lists = _acts(request).lists
    return await lists.get(lists.id_of(number.phone_number), campaign_id)


@act_router.post(
    "",
    name="number.block",
    status_code=201,
    response_model=DoNotCallNumber,
    responses={202: {"model": DoNotCallNumber, "description": "Stored, not yet decided"}, **problems(409)},
)
async def add_number(request: Request, number: NumberToList, response: Response) -> DoNotCallNumber:
    """Lists a number. It counts for every call that is not dialled yet. Listing it again changes nothing."""
    added, is_decided = await _acts(request).add(key_of(request), number.phone_number, number.campaign_id)
    response.status_code = 201 if is_decided else 202
    return added


@act_router.post(
    "/import",
    name="number.import",
    response_model=ImportedNumbers,
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def import_numbers(request: Request) -> ImportedNumbers:
    """Lists the numbers of a CSV file in UTF-8. The first line names the columns: `phone_number`, `campaign_id`.

    An empty `campaign_id`, or none, means all campaigns. Wrong rows are refused with their line, and the others are
    added. The same file again changes nothing.
    """
    body = await request.body()
    try:
        return await _acts(request).import_csv(key_of(request), body.decode("utf-8"))
    except UnicodeDecodeError:
        raise _wrong_body("the file is not UTF-8; save it as UTF-8") from None
    except WrongHeader:
        raise _wrong_body(f"the first line names no column {NUMBER_COLUMN}") from None


@act_router.delete(
    f"/{_NUMBER_ID}",
    name="number.unblock",
    response_model=DoNotCallNumber,
    response_description="The entries that remain",
    responses={202: {"model": DoNotCallNumber, "description": "Stored, not yet decided"}, **problems(404, 409)},
)
async def remove_number(
    request: Request, number_id: NumberId, response: Response, campaign_id: OfCampaign = None
) -> DoNotCallNumber:
    """Removes the entry of all campaigns, or that of one. An opt-out is an entry of all campaigns."""
    after, is_decided = await _acts(request).remove(key_of(request), number_id, campaign_id)
    response.status_code = 200 if is_decided else 202
    return after


def _wrong_body(message: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("body",), "msg": message}])
