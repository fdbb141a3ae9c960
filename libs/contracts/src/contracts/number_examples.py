"""Examples of the events about one number and its person, for `contracts.examples`."""

from datetime import UTC, datetime

from contracts.event import Event
from contracts.events.erasures import ErasedRequest, RequestsErased
from contracts.events.numbers import NumberBlockRequested, NumberChanged, NumberUnblockRequested
from contracts.events.persons import PersonErased, PersonEraseRequested
from contracts.number_digests import NumberDigests
from contracts.number_state import DoNotCallEntry, NumberState
from contracts.values import call_id_of
from contracts.vocabulary import DoNotCallSource, RequestResult

PHONE_NUMBER = "+12125550123"
_OPTED_OUT_AT = datetime(2026, 3, 2, 15, 0, 9, tzinfo=UTC)
_NUMBER = NumberState(
    number_digest=NumberDigests(b"example").of(PHONE_NUMBER),
    phone_number=PHONE_NUMBER,
    do_not_call=(
        DoNotCallEntry(
            changed_at=_OPTED_OUT_AT, source=DoNotCallSource.OPT_OUT, call_id=call_id_of("appointment-1027")
        ),
    ),
    dialed_at=(datetime(2026, 3, 2, 15, 0, 1, tzinfo=UTC),),
)
NUMBER_EXAMPLES: tuple[Event, ...] = (
    NumberChanged(number=_NUMBER, occurred_at=_OPTED_OUT_AT),
    NumberBlockRequested(number_digest=_NUMBER.number_digest, phone_number=PHONE_NUMBER),
    NumberUnblockRequested(number_digest=_NUMBER.number_digest),
    PersonEraseRequested(number_digest=_NUMBER.number_digest),
    PersonErased(
        number_digest=_NUMBER.number_digest,
        requested_at=datetime(2026, 3, 9, 10, 0, 0, tzinfo=UTC),
        erased_at=datetime(2026, 3, 9, 10, 0, 2, tzinfo=UTC),
        had_key=True,
        contacts_removed=1,
    ),
    RequestsErased(
        requests=(
            ErasedRequest(
                sequence=1027,
                result=RequestResult.REFUSED,
                reason="phone_number: the person opted out",
                call_id=str(call_id_of("appointment-1027")),
            ),
        ),
        erased_at=datetime(2026, 3, 9, 10, 0, 3, tzinfo=UTC),
    ),
)
