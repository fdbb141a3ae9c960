"""One-line descriptions of events. A line may contain phone numbers: mask it before printing (`records.masking`)."""

from contracts import (
    AnswerClassified,
    AudioFailed,
    AudioReady,
    AudioRequested,
    CallbackScheduled,
    CallCallbackNoted,
    CallChanged,
    CallChangeRequested,
    CallCommandRefused,
    CallDecision,
    CallHangupRequested,
    CallRequested,
    CallStatusChanged,
    CampaignDecision,
    CampaignEvent,
    ConversationEnded,
    DialLookedUp,
    DialPlaced,
    DialRefused,
    DialUnknown,
    DigitsSent,
    Event,
    KeysPressed,
    MessageReported,
    OptOutKeyPressed,
    PersonRecognized,
    ReplyGenerated,
    SpeechHeard,
    SpeechInterrupted,
    SpeechPlayed,
    TelephonyStatusReported,
    TimerDue,
    ToolCalled,
    ToolRequested,
    TransferAnswered,
    TransferEnded,
    TransferRequested,
    TransferStarted,
)
from contracts.transfers import transfer_words
from contracts.vocabulary import MESSAGE_TURN
from records.live_description import LiveEvent, phrases_of, spoken_in


def description(event: Event) -> str:
    """Returns the description; empty for an event that its name describes completely."""
    if isinstance(event, CallDecision):
        return _decision(event)
    if isinstance(event, LiveEvent):
        return _live(event)
    match event:
        case SpeechHeard():
            return f"turn {event.turn}: {event.text or '(silence)'}"
        case ReplyGenerated():
            return f"turn {event.turn}: {event.text}{' (fallback)' if event.is_fallback else ''}"
        case AudioRequested():
            return f"turn {event.turn}, sentence {event.sentence}: {event.text}"
        case AudioReady():
            return f"{_turn(event.turn)}, " + ", ".join(
                f"sentence {audio.sentence}: {audio.duration_seconds:.1f} s of {audio.provider}"
                for audio in event.sentences
            )
        case AudioFailed():
            instead = f" (then: {event.fallback})" if event.fallback else ""
            return f"{_turn(event.turn)}, sentence {event.sentence}: {event.reason}{instead}"
        case ToolRequested() | ToolCalled():
            return _tool(event)
        case ConversationEnded():
            return f"{event.disposition}: {event.summary}"
        case CallbackScheduled():
            return f"turn {event.turn}: call again at {event.local_time}: {event.reason}"
        case CallRequested():
            return f"{event.campaign_id}, {event.phone_number}"
        case CallChangeRequested():
            return ", ".join(event.changes())
        case CampaignDecision():
            return f"{event.campaign_id}{_why(event.campaign.reason)}"
        case CampaignEvent(campaign_id=campaign_id):
            return campaign_id
        case TimerDue():
            return f"deadline {event.deadline_at:%H:%M:%S}"
        case _:
            return _telephony(event)


def _decision(event: CallDecision) -> str:
    match event:
        case CallStatusChanged():
            again = f", again at {event.next_attempt_at:%Y-%m-%d %H:%M:%S}" if event.next_attempt_at else ""
            return f"{event.previous} → {event.status}{_why(event.reason)}{again}, attempt {event.attempt}"
        case CallCallbackNoted(call=call):
            return f"call again at {call.callback_at:%Y-%m-%d %H:%M:%S}" if call.callback_at else ""
        case CallChanged():
            return ", ".join(event.changed) or "nothing"
        case CallCommandRefused():
            return f"{event.command}: {event.reason}"
        case CallHangupRequested():
            return event.call.hangup_reason or ""
        case _:
            return str(event.call.disposition or event.call.status)


def _live(event: LiveEvent) -> str:
    if isinstance(event, KeysPressed | SpeechInterrupted | SpeechPlayed):
        place = _turn(event.turn)
    else:
        place = f"attempt {event.attempt}"
    words = ", ".join(map(str, phrases_of(event)))
    return f"{place}: " + ": ".join(filter(None, (words, spoken_in(event))))


def _tool(event: ToolRequested | ToolCalled) -> str:
    if isinstance(event, ToolRequested):
        return f"turn {event.turn}: {event.name} {event.arguments}"
    return f"turn {event.turn}: {event.name} {event.status} after {event.seconds:.1f} s: {event.result}"


def _telephony(event: Event) -> str:
    match event:
        case TelephonyStatusReported():
            return f"attempt {event.attempt}: {event.status}{_why(event.reason)}"
        case AnswerClassified():
            return f"attempt {event.attempt}: {event.answered_by}{', after its beep' if event.is_after_beep else ''}"
        case MessageReported():
            return f"attempt {event.attempt}: {'played to its end' if event.is_finished else 'begins'}"
        case PersonRecognized():
            return f"attempt {event.attempt}, turn {event.turn}"
        case OptOutKeyPressed():
            return f"attempt {event.attempt}: {event.key}"
        case TransferRequested() | TransferStarted() | TransferAnswered() | TransferEnded():
            return f"turn {event.turn}: {_transfer(event)}"
        case DialPlaced():
            return f"attempt {event.attempt}: {event.provider_call_id}"
        case DigitsSent():
            return f"attempt {event.attempt}, turn {event.turn}: {event.digits}"
        case DialRefused() | DialUnknown():
            return f"attempt {event.attempt}: {event.reason}"
        case DialLookedUp():
            return f"attempt {event.attempt}: {event.status or 'no such call'}"
        case _:
            return ""


def _transfer(event: TransferRequested | TransferStarted | TransferAnswered | TransferEnded) -> str:
    match event:
        case TransferRequested():
            summary = f", “{event.summary}”" if event.summary else ""
            return f"{event.destination} ({event.kind}), {event.phone_number}{summary}"
        case TransferStarted():
            words = f", after “{event.words}”" if event.words else ""
            return f"{event.destination} ({event.kind}){words}"
        case TransferAnswered():
            return "accepted" if event.is_accepted else "not accepted"
        case TransferEnded():
            seconds = f" after {event.seconds} s" if event.seconds else ""
            return f"{event.destination}: {transfer_words(event.status)}{seconds}"


def _turn(number: int) -> str:
    return "message" if number == MESSAGE_TURN else f"turn {number}"


def _why(reason: str | None) -> str:
    return f" ({reason})" if reason else ""
