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
    def milliseconds(self) -> str:
        """The value of MachineDetectionDuration."""
        return str(round(self.seconds * 1000))


def detect(mode: str | None, behaviour: Behaviour) -> Detection | None:
    """Returns the detection in the mode `Enable` or `DetectMessageEnd`, or None when detection is off."""
    if mode not in ("Enable", "DetectMessageEnd"):
        return None
    if behaviour is Behaviour.SILENT:
        return Detection("unknown", 5.0)
    if behaviour is not Behaviour.VOICEMAIL:
        return Detection("human", 2.9)
    return Detection("machine_end_beep", 7.5) if mode == "DetectMessageEnd" else Detection("machine_start", 3.2)
