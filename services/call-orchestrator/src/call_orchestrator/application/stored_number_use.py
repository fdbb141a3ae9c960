"""Translates between what a permission stores of its number, and the domain's `NumberUse`."""

from call_orchestrator.domain.number_use import UNUSED, Listing, NumberUse
from contracts import Call
from contracts.call import Listing as StoredListing
from contracts.call import Permission


def with_number_use(call: Call, number: NumberUse) -> Call:
    """Returns the call whose permission, if it has one, names what was known about its number."""
    if call.permission is None or number == UNUSED:
        return call
    listing = number.listing
    known = {
        "dialed_at": number.dialed_at,
        "in_use_until": number.in_use_until,
        "erased_at": number.erased_at,
        "listing": listing
        and StoredListing(
            listed_at=listing.listed_at,
            source=listing.source,
            campaign_id=listing.campaign_id,
            list_name=listing.list_name,
        ),
    }
    return call.model_copy(update={"permission": call.permission.model_copy(update=known)})


def number_use_of(permission: Permission) -> NumberUse:
    """Returns what was known about the number when the permission was decided."""
    listing, stored = None, permission.listing
    if stored:
        listing = Listing(
            listed_at=stored.listed_at,
            source=stored.source,
            campaign_id=stored.campaign_id,
            list_name=stored.list_name,
        )
    return NumberUse(
        dialed_at=permission.dialed_at,
        in_use_until=permission.in_use_until,
        listing=listing,
        erased_at=permission.erased_at,
    )
