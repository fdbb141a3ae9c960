"""Twilio: its forms, statuses, signatures and TwiML; `telephony.twilio_errors` has its error codes.

Voice's adapter uses the URLs and statuses; the edge uses `TwilioWebhooks`.
"""

import re
from hmac import compare_digest
from typing import assert_never, get_args
from uuid import UUID

from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.twiml.voice_response import Connect, Gather, VoiceResponse  # type: ignore[import-untyped]

from contracts import AnswerClassified, AnsweredBy, MessageReported, TelephonyStatus, TelephonyStatusReported
from contracts.vocabulary import MESSAGE_TURN, OptOutKey
from telephony.instructions import (
    AskAgain,
    ConnectPerson,
    HangUp,
    Instruction,
    JoinCall,
    Listen,
    OfferTransfer,
    OpenStream,
    PlayGreeting,
    PlayMessage,
    PlayTurn,
    PressKeys,
    Prompt,
    RestartMessage,
    SpeakGoodbye,
    SpeakMessage,
    SpeakText,
    Utterance,
)
from telephony.media import TOKEN, build_media_target, derive_media_key, relay_path, sign, stream_path
from telephony.provider import Form, InvalidProviderData, Report
from telephony.routes import WebhookUrls
from telephony.timing import MESSAGE_SILENCE_SECONDS, SILENCE_SECONDS
from telephony.twilio_relay import add_stream
from telephony.twilio_speech import speakable, with_region
from telephony.twilio_transfers import TransferForms, add_dial, add_offer

NAME = "twilio"
PREFIX = "/twilio"
SIGNATURE_HEADER = "X-Twilio-Signature"

STATUS_EVENTS = ("ringing", "completed")
"""The status callbacks that a dial request asks for.

`completed` is the end of every call, which may also be busy, no-answer, failed or canceled (Twilio, "Call resource:
StatusCallbackEvent"). `answered` would repeat what the webhook of the first instruction reports, and race with it.
`initiated` decides nothing: the answer to the dial request, or the next report, names the call.
"""

RETRY_FRAGMENT = "#rc=2&rp=ct,rt,5xx"
"""Connection overrides: Twilio repeats a webhook twice, after failed connections, time-outs and 5xx.

Without it Twilio drops a callback that is answered with 500. The fragment is not part of the signed URL.
"""

STATUSES = {
    "queued": TelephonyStatus.QUEUED,
    "initiated": TelephonyStatus.INITIATED,
    "ringing": TelephonyStatus.RINGING,
    "in-progress": TelephonyStatus.IN_PROGRESS,
    "completed": TelephonyStatus.COMPLETED,
    "busy": TelephonyStatus.BUSY,
    "no-answer": TelephonyStatus.NO_ANSWER,
    "failed": TelephonyStatus.FAILED,
    "canceled": TelephonyStatus.CANCELED,
}
"""The statuses of Twilio's Call resource, in callbacks and in the REST API."""

MAX_UTTERANCE_CHARACTERS = 2_000
"""More of an utterance is not used; it is several minutes of speech."""
_MAX_DIGITS = 9
"""The longest whole number of a form; longer ones are left out, as other invalid numbers are."""
_KEYS = frozenset(get_args(OptOutKey))
_WORD = re.compile(r"[!-~]{1,64}")
"""An id or a status: it becomes part of a header of the stored event."""
MACHINE_BEEP = "machine_end_beep"
"""The verdict of detection in the mode `DetectMessageEnd` when a machine's greeting ends with a beep."""

NO_SUCH_NUMBER = frozenset({"404", "410", "484", "604"})
"""SIP responses (RFC 3261) that are final: not found, gone, address incomplete, does not exist anywhere."""


def build_urls(public_url: str) -> WebhookUrls:
    """Returns the builder of the webhook URLs. `public_url` is the edge's address, without a slash at its end."""
    return WebhookUrls(public_url, PREFIX, RETRY_FRAGMENT)


def parse_call_status(word: str) -> TelephonyStatus:
    """Returns the status that Twilio calls `word`. Raises InvalidProviderData."""
    if word not in STATUSES:
        raise InvalidProviderData(f"CallStatus {word!r} is not known")
    return STATUSES[word]


class TwilioWebhooks(TransferForms):
    """`telephony.provider.WebhookProvider` for Twilio. The URLs are public ones, without a slash at their end.

    `live_url`: the address of media streams; empty: none is opened.
    """

    name = NAME
    prefix = PREFIX
    signature_header = SIGNATURE_HEADER
    media_type = "application/xml"

    def __init__(self, auth_token: str, public_url: str, media_url: str, live_url: str = "") -> None:
        self._live_url = live_url
        self._media_key = derive_media_key(auth_token)
        self._validator = RequestValidator(auth_token)
        self._public_url = public_url
        self._media_url = media_url
        self._urls = build_urls(public_url)

    def is_authentic(self, target: str, form: Form, signature: str) -> bool:
        """See the interface. Twilio signs the public URL; behind a proxy the service's own URL differs.

        The signature covers all values of a repeated field, sorted and without duplicates. The SDK's `validate`
        computes it twice, for the URL with and without a port. It is asked only if the signature of our URL differs.
        """
        url = self._public_url + target
        expected = self._validator.compute_signature(url, form)
        if compare_digest(expected.encode(), signature.encode()):
            return True
        return bool(self._validator.validate(url, form, signature))

    def parse_answer(self, call_id: UUID, attempt: int, form: Form) -> Report:
        """See the interface. Twilio requests the first instruction when the callee answers."""
        sid = _required(form, "CallSid")
        event = TelephonyStatusReported(
            call_id=call_id, attempt=attempt, provider_call_id=sid, status=TelephonyStatus.IN_PROGRESS
        )
        return Report(event, f"{NAME}/{sid}/answer")

    def parse_status(self, call_id: UUID, attempt: int, form: Form) -> Report:
        """See the interface. The id contains Twilio's sequence number, or the status if there is none."""
        sid, word = _required(form, "CallSid"), _required(form, "CallStatus")
        number, sip_code = _whole_number(form, "SequenceNumber"), form.get("SipResponseCode", "")[:_MAX_DIGITS]
        event = TelephonyStatusReported(
            call_id=call_id,
            attempt=attempt,
            provider_call_id=sid,
            status=parse_call_status(word),
            sequence_number=number,
            duration_seconds=_whole_number(form, "CallDuration"),
            is_permanent=word == "failed" and (not sip_code or sip_code in NO_SUCH_NUMBER),
            reason=f"SIP {sip_code}" if sip_code else None,
        )
        return Report(event, f"{NAME}/{sid}/{word if number is None else number}")

    def parse_classification(self, call_id: UUID, attempt: int, form: Form) -> Report:
        """See the interface. A result that is not known is classified as `unknown`."""
        sid, word = _required(form, "CallSid"), _required(form, "AnsweredBy")
        if word.startswith("machine_"):
            answered_by = AnsweredBy.MACHINE
        else:
            answered_by = AnsweredBy(word) if word in set(AnsweredBy) else AnsweredBy.UNKNOWN
        event = AnswerClassified(
            call_id=call_id,
            attempt=attempt,
            provider_call_id=sid,
            answered_by=answered_by,
            is_after_beep=word == MACHINE_BEEP,
        )
        return Report(event, f"{NAME}/{sid}/amd")

    def parse_message(self, call_id: UUID, attempt: int, form: Form, *, is_finished: bool) -> Report:
        """See the interface. A message that is played again begins once."""
        sid = _required(form, "CallSid")
        event = MessageReported(call_id=call_id, attempt=attempt, provider_call_id=sid, is_finished=is_finished)
        return Report(event, f"{NAME}/{sid}/message/{'finished' if is_finished else 'started'}")

    def parse_utterance(self, turn: int, form: Form) -> Utterance:
        """See the interface. A ``<Gather>`` that timed out has neither ``SpeechResult`` nor ``Digits``."""
        key = digits if (digits := form.get("Digits", "")) in _KEYS else None
        text = form.get("SpeechResult", "").strip()[:MAX_UTTERANCE_CHARACTERS]
        event_id = f"{NAME}/{_required(form, 'CallSid')}/heard/{turn}"
        return Utterance(text, _confidence(form) if text else None, event_id, key)

    def render(self, instruction: Instruction) -> str:
        """See the interface. TwiML: ``<Gather>`` around ``<Play>`` or ``<Say>``, or ``<Connect>``, or ``<Hangup/>``."""
        response = VoiceResponse()
        match instruction:
            case PlayGreeting(call_id, attempt, turn=turn) | PlayTurn(call_id, attempt, turn=turn):
                sequence = instruction.after_sequence
                target = build_media_target(self._media_key, call_id, attempt, turn, after_sequence=sequence)
                self._gather(response, instruction).play(self._media_url + target)
            case SpeakText(text=text):
                self._gather(response, instruction).say(speakable(text), language=with_region(instruction.language))
            case Listen():
                self._gather(response, instruction)
            case PressKeys(digits=digits):
                response.play(digits=digits)
                self._gather(response, instruction)
            case PlayMessage() | SpeakMessage():
                self._render_message(response, instruction)
            case RestartMessage(call_id, attempt):
                response.redirect(self._urls.message(call_id, attempt), method="POST")
            case OpenStream():
                self._connect(response, instruction)
            case AskAgain(call_id, attempt, generation, repetition):
                response.pause(length=1)
                again = self._urls.stream_ended(call_id, attempt, generation, repetition=repetition)
                response.redirect(again, method="POST")
            case ConnectPerson():
                add_dial(response, self._urls, instruction)
            case OfferTransfer():
                text, language = speakable(instruction.text), with_region(instruction.language)
                add_offer(response, self._urls, instruction, text, language)
            case JoinCall():
                pass  # the end of the document of the person's leg connects it
            case SpeakGoodbye(language, text):
                response.say(speakable(text), language=with_region(language))
                response.hangup()
            case HangUp():
                response.hangup()
            case _:
                assert_never(instruction)
        return str(response)

    def _render_message(self, response: VoiceResponse, message: PlayMessage | SpeakMessage) -> None:
        """Adds the message. Twilio executes the ``<Redirect>`` after the message, unless the callee has spoken."""
        call_id, attempt, is_spoken = message.call_id, message.attempt, isinstance(message, SpeakMessage)
        parent = self._gather(response, message) if message.is_interruptible else response
        if isinstance(message, SpeakMessage):
            parent.say(speakable(message.text), language=with_region(message.language))
        else:
            parent.play(self._media_url + build_media_target(self._media_key, call_id, attempt, MESSAGE_TURN))
        url = self._urls.message(call_id, attempt, is_finished=True, is_after_spoken_text=is_spoken)
        response.redirect(url, method="POST")

    def _connect(self, response: VoiceResponse, stream: OpenStream) -> None:
        """Adds the stream. The ``<Redirect>`` behind it asks the same URL if the end of the stream asks no `action`."""
        if stream.text:
            response.say(speakable(stream.text), language=with_region(stream.language))
        if stream.pause_seconds:
            response.pause(length=stream.pause_seconds)
        path = (relay_path if stream.is_relay else stream_path)(stream.call_id, stream.attempt, stream.generation)
        ended = self._urls.stream_ended(stream.call_id, stream.attempt, stream.generation)
        connect: Connect = response.connect(action=ended, method="POST")
        noun = add_stream(connect, self._live_url + path, stream, with_region(stream.language))
        noun.parameter(name=TOKEN, value=sign(self._media_key, path))
        response.redirect(ended, method="POST")

    def _gather(self, response: VoiceResponse, instruction: Prompt) -> Gather:
        is_message = isinstance(instruction, PlayMessage | SpeakMessage)
        url = self._urls.utterance(
            instruction.call_id,
            instruction.attempt,
            instruction.turn + 1,
            is_after_spoken_text=not isinstance(instruction, PlayGreeting | PlayTurn),
            after_sequence=instruction.after_sequence,
        )
        keys = {"num_digits": 1, "finish_on_key": ""} if instruction.hears_keys else {}
        return response.gather(
            input="dtmf speech" if keys else "speech",
            action=url,
            method="POST",
            timeout=MESSAGE_SILENCE_SECONDS if is_message else SILENCE_SECONDS,
            speech_timeout="auto",
            language=with_region(instruction.language),
            barge_in=True,
            action_on_empty_result=not is_message,
            **keys,
        )


def _required(form: Form, name: str) -> str:
    if not (value := form.get(name)):
        raise InvalidProviderData(f"{name} is missing")
    if not _WORD.fullmatch(value):
        raise InvalidProviderData(f"{name} is not a word of at most 64 characters")
    return value


def _whole_number(form: Form, name: str) -> int | None:
    value = form.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS else None


def _confidence(form: Form) -> float | None:
    try:
        value = float(form.get("Confidence", ""))
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
