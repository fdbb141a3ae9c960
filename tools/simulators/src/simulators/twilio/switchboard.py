"""A switchboard: it reads a menu until one of its keys is pressed. Then it connects a person."""

from dataclasses import dataclass

from simulators.twilio.callee_phrases import CONNECTED, MENU, MENU_KEYS, Language

MENU_SECONDS = 4.0
"""How long it waits for a key before it reads its menu again."""


@dataclass
class Switchboard:
    """The menu of one call. `connected_turn`: the turn in which the person answers; 0: not yet."""

    is_chosen: bool = False
    connected_turn: int = 0

    def press(self, key: str) -> bool:
        """Takes a key. Returns whether it connects a person."""
        chooses = not self.is_chosen and key in MENU_KEYS
        self.is_chosen = self.is_chosen or chooses
        return chooses

    def text(self, turn: int, language: Language) -> str | None:
        """Returns what is said in a turn; None: the person goes on."""
        if not self.is_chosen:
            return MENU[language]
        if self.connected_turn:
            return None
        self.connected_turn = turn
        return CONNECTED[language]
