"""The story of a call at any sequence, by the code of `centralita replay show`."""

from uuid import UUID

from edge.application import errors
from edge.application.acts import READ_EVENTS, READ_NUMBER, Acts
from edge.application.keys import Key
from edge.ports import CallMessages
from records.story import Story, UnknownCall, story_of


class Stories:
    """Reads stories of calls. They contain what was spoken, so they are audited as reads of the call's events.

    A read of unmasked numbers has an entry of its own.
    """

    def __init__(self, messages: CallMessages, acts: Acts) -> None:
        self._messages = messages
        self._acts = acts

    async def read(self, key: Key, call_id: UUID, at: int | None, *, has_numbers: bool = False) -> Story:
        """Returns the story up to the sequence `at`, or the whole one.

        Its cost is that of all events, also with an early `at`. Raises UnknownCall, TooManyReads and Unavailable.
        """
        acts = (READ_EVENTS, READ_NUMBER) if has_numbers else (READ_EVENTS,)
        return await self._acts.audited_read(key, call_id, lambda: self._story(call_id, at), _events, acts)

    async def _story(self, call_id: UUID, at: int | None) -> Story:
        messages = await self._messages.of(call_id)
        try:
            return story_of(messages, at)
        except UnknownCall as error:
            raise errors.UnknownCall(call_id, str(error) if messages else None) from error


def _events(story: Story) -> int:
    return len(story.sequences)
