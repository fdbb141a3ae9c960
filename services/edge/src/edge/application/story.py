"""The story of a call at any sequence, by the code of `centralita replay show`."""

from dataclasses import dataclass
from uuid import UUID

from chassis.event_log import StoredEvent
from chassis.subject_filters import matcher
from chassis.unreadable import UnreadableEvent
from contracts.filters import call_filters
from contracts.streams import CALLS
from edge.application import errors
from edge.application.acts import READ_EVENTS, READ_NUMBER, Acts
from edge.application.keys import Key
from edge.ports import CallMessages
from records.story import Story, UnknownCall, story_of_decoded


@dataclass(frozen=True, slots=True)
class StoryAndEvents:
    """A story, and all events of the call as `GET /calls/{id}/events` has them, by the same read of the log."""

    story: Story
    events: tuple[StoredEvent | UnreadableEvent, ...]


class Stories:
    """Reads stories of calls. They contain what was spoken, so they are audited as reads of the call's events.

    A read of unmasked numbers has an entry of its own.
    """

    def __init__(self, messages: CallMessages, acts: Acts) -> None:
        self._messages = messages
        self._acts = acts

    async def read(self, key: Key, call_id: UUID, at: int | None, *, has_numbers: bool = False) -> StoryAndEvents:
        """Returns the story up to the sequence `at`, or the whole one, and the events.

        Its cost is that of all events, also with an early `at`. Raises UnknownCall, TooManyReads and Unavailable.
        """
        acts = (READ_EVENTS, READ_NUMBER) if has_numbers else (READ_EVENTS,)
        return await self._acts.audited_read(key, call_id, lambda: self._story(call_id, at), _events, acts)

    async def _story(self, call_id: UUID, at: int | None) -> StoryAndEvents:
        decoded = [(message, message.decoded()) for message in await self._messages.of(call_id)]
        try:
            story = story_of_decoded(decoded, at)
        except UnknownCall as error:
            raise errors.UnknownCall(call_id, str(error) if decoded else None) from error
        is_event = matcher(call_filters(call_id))
        events = (stored for message, stored in decoded if message.stream == CALLS.name and is_event(message.subject))
        return StoryAndEvents(story, tuple(events))


def _events(read: StoryAndEvents) -> int:
    return len(read.story.sequences)
