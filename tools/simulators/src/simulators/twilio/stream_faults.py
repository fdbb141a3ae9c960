"""Faults of media streams, and what a call does where Twilio's documentation leaves it open."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class StreamFaults(BaseModel):
    """Faults of all media streams that open from now on. Times are simulated seconds since the stream's start.

    - after_failure: what follows a refused handshake or a lost connection: <Connect action> is requested, the next verb
      is executed, or the call ends. After a close by the server Twilio always continues.
    - never_connects: the connection times out (31901). never_starts: `connected` is sent, and nothing after it.
    - drop_after_seconds: the connection breaks without a closing handshake.
    - stops_reading_after_seconds: the server's messages are not read any more; audio to it continues.
    - stall_at_seconds, stall_seconds: nothing is sent for this time; then all that was kept is sent at once.
    - frame_loss: the probability (0 to 1) that a frame of the callee is lost.
    - reorders_marks: each mark is returned after the mark that follows it.
    - malformed_messages: a session of ConversationRelay begins with so many messages that are not documented.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    after_failure: Literal["action", "next_verb", "end"] = "action"
    never_connects: bool = False
    never_starts: bool = False
    drop_after_seconds: float | None = Field(default=None, ge=0)
    stops_reading_after_seconds: float | None = Field(default=None, ge=0)
    stall_at_seconds: float = Field(default=0, ge=0)
    stall_seconds: float = Field(default=0, ge=0)
    frame_loss: float = Field(default=0, ge=0, le=1)
    reorders_marks: bool = False
    malformed_messages: int = Field(default=0, ge=0)

    def stalls(self, seconds: float) -> bool:
        """Returns whether nothing is sent at this time."""
        return self.stall_at_seconds <= seconds < self.stall_at_seconds + self.stall_seconds
