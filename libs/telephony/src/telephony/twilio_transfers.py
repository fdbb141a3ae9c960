"""Twilio's ``<Dial>``: the leg to a person, as TwiML and in the forms about it.

A transfer is one ``<Dial>`` on the line of the callee. Twilio dials the number, connects both, and requests `action`
when the leg has ended. The end of either leg ends the other one, so no second call has to be created or found.
"""

import re

from twilio.twiml.voice_response import VoiceResponse  # type: ignore[import-untyped]

from contracts.transfers import TransferStatus
from telephony.instructions import ConnectPerson, OfferTransfer
from telephony.provider import Form, InvalidProviderData, TransferReport
from telephony.routes import Webhook, WebhookUrls

_STATUSES = {
    "completed": TransferStatus.COMPLETED,
    "answered": TransferStatus.COMPLETED,
    "no-answer": TransferStatus.NO_ANSWER,
    "busy": TransferStatus.BUSY,
    "failed": TransferStatus.FAILED,
    "canceled": TransferStatus.CANCELED,
}
"""The values of ``DialCallStatus`` (Twilio, "TwiML Voice: Dial")."""
_CHOICE_SECONDS = 6
"""How long a key is awaited after the second offer."""
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_MAX_DIGITS = 6


class TransferForms:
    """The part of `telephony.provider.WebhookProvider` that reads the forms about transfers."""

    def parse_transfer(self, form: Form) -> TransferReport:
        """See the interface. The form has the fields of the callee's call, and ``Dial…`` of the leg."""
        word, seconds, bridged = (
            form.get("DialCallStatus", ""),
            form.get("DialCallDuration", ""),
            form.get("DialBridged"),
        )
        if word not in _STATUSES:
            raise InvalidProviderData("DialCallStatus is missing, or its value is not known")
        is_number = seconds.isascii() and seconds.isdigit() and len(seconds) <= _MAX_DIGITS
        is_bridged = None if bridged is None else bridged.lower() == "true"
        return TransferReport(_STATUSES[word], int(seconds) if is_number else 0, is_bridged)

    def is_answered(self, form: Form) -> bool:
        """See the interface."""
        return form.get("CallStatus") == "in-progress"

    def parse_key(self, form: Form) -> str:
        """See the interface."""
        return form.get("Digits", "")

    def parse_own_number(self, form: Form) -> str | None:
        """See the interface. In the webhooks of a call that we made, it is ``From``."""
        number = form.get("From", "")
        return number if _E164.fullmatch(number) else None


def add_dial(response: VoiceResponse, urls: WebhookUrls, person: ConnectPerson) -> None:
    """Adds the ``<Dial>``. With an offer, the callee hears it ring until the person has accepted (`answerOnBridge`)."""
    place = person.call_id, person.attempt, person.turn
    dial = response.dial(
        action=urls.transfer(Webhook.TRANSFER_ENDED, *place),
        method="POST",
        timeout=person.ring_seconds,
        time_limit=person.max_seconds,
        caller_id=person.caller_id,
        answer_on_bridge=True if person.is_offered else None,
    )
    if person.is_offered:
        dial.number(person.phone_number, url=urls.transfer(Webhook.TRANSFER_OFFERED, *place), method="POST")
        return
    dial.number(
        person.phone_number,
        status_callback=urls.transfer(Webhook.TRANSFER_ANSWERED, *place),
        status_callback_event="answered",
        status_callback_method="POST",
    )


def add_offer(response: VoiceResponse, urls: WebhookUrls, offer: OfferTransfer, text: str, language: str) -> None:
    """Adds the offer, twice, and the end of the person's leg after it. `text` is what ``<Say>`` can speak."""
    url = urls.transfer(Webhook.TRANSFER_CHOSEN, offer.call_id, offer.attempt, offer.turn)
    gather = response.gather(
        input="dtmf", num_digits=1, finish_on_key="", action=url, method="POST", timeout=_CHOICE_SECONDS
    )
    for _ in range(2):
        gather.say(text, language=language)
    response.hangup()
