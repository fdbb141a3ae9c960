"""Media streams: audio or text of a live conversation, between the telephone provider and voice (docs/live.md).

A stream has a generation: the first stream of an attempt is 1, and each that follows is one more. A stream ends with
`telephony.media_closed` by the process that held it, or with `telephony.media_lost` by edge if that process died.
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from contracts.event import CallEvent, Service
from contracts.personal import PersonalText
from contracts.vocabulary import DegradationReason, MediaClosedReason, MediaLostReason


class MediaKind(StrEnum):
    """What a media stream carries."""

    STREAM = "stream"
    """The audio of both."""
    RELAY = "relay"
    """Text: the words of the callee, and those that the provider speaks."""


class MediaOpened(CallEvent):
    """A process holds the stream of a call. The highest generation counts; an older stream ends."""

    event_name: ClassVar[str] = "telephony.media_opened"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE})

    attempt: int
    generation: int = Field(ge=1, description="number of the stream in its attempt, from 1")
    stream_id: str = Field(description="the provider's id of the stream")
    previous_turn: int = Field(description="the last turn that was claimed before it; 0: the greeting is due")
    kind: MediaKind = Field(default=MediaKind.STREAM, description="whether it carries audio or text")


class MediaClosed(CallEvent):
    """A stream has ended; its process says why."""

    event_name: ClassVar[str] = "telephony.media_closed"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE})

    attempt: int
    generation: int
    reason: MediaClosedReason
    seconds: float = Field(description="how long it was open")
    frames: int = Field(description="frames of the callee's audio that were received, 20 ms each; 0: it carried text")
    underruns: int = Field(default=0, description="how often audio was due to be sent and was not there")
    unclaimed_text: PersonalText | None = Field(
        default=None,
        description="what the callee said and no turn has claimed: the next stream continues with it; empty: nothing; "
        "none: it is not known, so the callee is asked to repeat it",
    )


class MediaLost(CallEvent):
    """A stream has ended without a word of its process."""

    event_name: ClassVar[str] = "telephony.media_lost"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})

    attempt: int
    generation: int
    reason: MediaLostReason


class MediaDegraded(CallEvent):
    """The attempt goes on in turns: its conversation could not stay live."""

    event_name: ClassVar[str] = "telephony.media_degraded"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.EDGE})

    attempt: int
    reason: DegradationReason


class KeysPressed(CallEvent):
    """The callee pressed keys of the telephone during a live conversation."""

    event_name: ClassVar[str] = "telephony.keys_pressed"
    owners: ClassVar[frozenset[Service]] = frozenset({Service.VOICE})

    attempt: int
    turn: int = Field(description="the last turn that was claimed before")
    keys: PersonalText
