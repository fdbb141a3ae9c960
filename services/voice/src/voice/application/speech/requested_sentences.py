"""The sentences that the events of a turn request: one of each `audio.requested`, and the last one of a reply."""

from chassis.event_log import StoredEvent
from contracts import AudioRequested, Call, ReplyGenerated
from voice.application.speech.synthesis import Sentence
from voice.domain.clips import is_personal


def sentence_in(stored: StoredEvent, call: Call) -> Sentence | None:
    """Returns the sentence that an event contains, in the voice of the call; none if it contains none."""
    if not isinstance(stored.event, AudioRequested | ReplyGenerated):
        return None
    if (request := _request_in(stored.event, call)) is None:
        return None
    return Sentence(request, stored.envelope, stored.sequence, is_personal=is_personal(request.text, call))


def _request_in(event: AudioRequested | ReplyGenerated, call: Call) -> AudioRequested | None:
    if isinstance(event, AudioRequested):
        return event.model_copy(update={"voice": event.voice or call.voice})
    if event.last_sentence is None:
        return None
    return AudioRequested(
        call_id=event.call_id,
        attempt=event.attempt,
        turn=event.turn,
        sentence=event.sentences - 1,
        text=event.last_sentence,
        language=call.language,
        voice=call.voice,
    )
