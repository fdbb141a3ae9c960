"""The demo with live conversations: callees who interrupt, cough, dictate, and say that they listen."""

from pathlib import Path

from centralita.demo.callees import Callees
from contracts import ConversationMode

COUNT = 6
TIMEOUT_SECONDS = 240
CALLEES = Callees(
    ConversationMode.LIVE,
    speed=1.0,
    behaviours="human=0.3,interrupts=0.25,backchannels=0.15,coughs=0.15,dictates=0.15",
)
"""Speech has the speed of speech: voice sends audio by a real clock."""


def recorded(folder: Path) -> str:
    """Returns the line that says where the audio of the calls is."""
    count = len(list(folder.glob("*.wav")))
    return f"{count} calls were recorded: {folder}/*.wav (left: the callee, right: the agent as it was heard)"
