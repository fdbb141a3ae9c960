"""Answering-machine detection: its result for each behaviour, and how long it takes.

https://www.twilio.com/docs/voice/answering-machine-detection
"""

from dataclasses import dataclass

from simulators.twilio.callees import Behaviour


@dataclass(frozen=True)
class Detection:
    """The value of AnsweredBy, and the simulated seconds until it is known."""

    answered_by: str
    seconds: float

    @property
    def is_after_beep(self) -> bool:
        """Whether the machine has just given its beep."""
        return self.answered_by == "machine_end_beep"

    @property
    def milliseconds(self) -> str:
        """The value of MachineDetectionDuration."""
        return str(round(self.seconds * 1000))


def detect(mode: str | None, behaviour: Behaviour) -> Detection | None:
    """Returns the detection in the mode `Enable` or `DetectMessageEnd`, or None when detection is off."""
    if mode not in ("Enable", "DetectMessageEnd"):
        return None
    if behaviour is Behaviour.SILENT:
        return Detection("unknown", 5.0)
    if behaviour is Behaviour.FAX:
        return Detection("fax", 4.1)
    if behaviour not in (Behaviour.VOICEMAIL, Behaviour.MISTAKEN_HUMAN):
        return Detection("human", 2.9)
    if mode != "DetectMessageEnd":
        return Detection("machine_start", 3.2)
    return (
        Detection("machine_end_beep", 7.5)
        if behaviour is Behaviour.VOICEMAIL
        else Detection("machine_end_silence", 3.6)
    )
