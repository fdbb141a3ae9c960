"""The keys that the agent presses in a live call.

They are pressed once the words of the reply were heard. `telephony.digits_sent` is stored before, so another stream of
the call does not press them again. If a process ends between the two, they are not pressed: the agent hears the menu
of the switchboard again.
"""

from collections.abc import Callable

from voice.application.live.call_record import CallRecord


class RequestedKeys:
    """The keys that the newest reply requests."""

    def __init__(self, record: CallRecord) -> None:
        self._record = record
        self._digits = ""
        self.turn = -1
        """The turn of that reply."""

    def request(self, turn: int, digits: str) -> None:
        """Takes the keys that the reply of a turn requests; a second time, it does no harm."""
        if turn > self.turn:
            self.turn, self._digits = turn, digits

    def press(self, press: Callable[[str], None]) -> None:
        """Appends that the keys are pressed, then passes them to `press`, unless they were pressed before."""
        digits, self._digits = self._digits, ""
        if digits:
            self._record.claim_digits(self.turn, digits, lambda: press(digits))
