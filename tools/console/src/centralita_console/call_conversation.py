"""The conversation of a call for people: each line with the facts of its events, and what each reply waited for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from centralita_console.stored_events import event_name_of, event_of
from centralita_console.turn_timing import Waterfall, waterfall_of
from contracts import SpeechInterrupted, SpeechPlayed
from records.live_description import BACKCHANNELS, INTERRUPTED_WORDS, PAUSES, Phrase
from records.transcript import unheard_of

Document = Mapping[str, Any]
Details = Mapping[tuple[str, int, int], Sequence[Document]]
"""The events of each name, attempt and turn."""

TURN_EVENTS = ("speech.heard", "reply.generated", "audio.requested", "audio.ready", "speech.played")
INTERRUPTED = "speech.interrupted"


@dataclass(frozen=True, slots=True)
class Spoken:
    """One line of the conversation. `notes` and `phrases` are short facts, and `waterfall` the stages of a reply.

    `unheard`: the rest of a reply that was interrupted; `text` is then what was heard of it. None: not interrupted.
    """

    speaker: str
    at: datetime
    attempt: int
    turn: int
    text: str
    unheard: str | None = None
    notes: tuple[str, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    waterfall: Waterfall | None = None


def conversation_of(story: Document, events: Sequence[Document]) -> list[Spoken]:
    """Returns the conversation, each line with the facts of its events."""
    details: dict[tuple[str, int, int], list[Document]] = {}
    for event in events:
        data = event["data"]
        if "turn" in data and event["sequence"] <= story["sequence"]:
            details.setdefault((event_name_of(event), data["attempt"], data["turn"]), []).append(event)
    return [_spoken(line, details) for line in story["conversation"]]


def _spoken(line: Document, details: Details) -> Spoken:
    place = (line["attempt"], line["turn"])
    heard, replies, requested, audio, played = (details.get((name, *place), ()) for name in TURN_EVENTS)
    notes: list[str] = []
    phrases: list[Phrase] = []
    waterfall = None
    if line["speaker"] == "callee":
        notes += [f"{sure:.0%}" for event in heard if (sure := event["data"].get("confidence")) is not None]
    elif line["speaker"] == "agent":
        notes += _reply_notes(replies[0]["data"]) if replies else []
        if audio:
            made = audio[0]["data"]
            notes += [made["provider"], *(["clip"] if made.get("is_cached") else []), *_fallback(made)]
        waterfall = waterfall_of(heard, replies, requested, audio, played)
        phrases += _live_phrases(details.get((INTERRUPTED, *place), ()) if _is_interrupted(line) else (), played)
    at, text, unheard = datetime.fromisoformat(line["at"]), line["text"], None
    if _is_interrupted(line):
        text, unheard = line["heard"], unheard_of(text, line["heard"])
    return Spoken(line["speaker"], at, *place, text, unheard, tuple(notes), tuple(phrases), waterfall)


def _is_interrupted(line: Document) -> bool:
    return line.get("heard") is not None


def _live_phrases(interrupted: Sequence[Document], played: Sequence[Document]) -> list[Phrase]:
    """Returns what interrupted a reply, and how often a sound of the callee paused it."""
    reasons = [event.reason for one in interrupted if isinstance(event := event_of(one), SpeechInterrupted)]
    parts = [event for one in played if isinstance(event := event_of(one), SpeechPlayed)]
    counts = {PAUSES: sum(one.pauses for one in parts), BACKCHANNELS: sum(one.backchannels for one in parts)}
    counted = [Phrase(text, {"count": count}) for text, count in counts.items() if count]
    return [*(Phrase(INTERRUPTED_WORDS[reason]) for reason in reasons[-1:]), *counted]


def _reply_notes(reply: Document) -> list[str]:
    tokens = f"{reply['prompt_tokens']} → {reply['completion_tokens']}" if reply.get("completion_tokens") else ""
    return [note for note in (reply["model"], tokens, *(["fallback"] if reply.get("is_fallback") else [])) if note]


def _fallback(audio: Document) -> list[str]:
    return [f"fallback: {audio['fallback']}"] if audio.get("fallback") else []
