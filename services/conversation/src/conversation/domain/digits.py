"""The tool `send_digits`: keys that the agent presses once the words of its answer were heard.

It is not executed while the model waits: the reply has the keys, and voice or the edge presses them.
"""

from collections.abc import Iterable

from contracts import ToolCall
from conversation.domain.tools import (
    NOT_DIGITS,
    SEND_DIGITS,
    Tool,
    strict_object,
    text_property,
    valid_digits,
)

SEND_DIGITS_TOOL = Tool(
    SEND_DIGITS,
    "Press keys of the telephone, such as in the menu of a switchboard. Say nothing in the same answer: a switchboard "
    "does not understand it, and the keys are pressed after your words.",
    strict_object({"digits": text_property("The keys: 0-9, * and #; w waits half a second. 32 at most, e.g. 1ww204#")}),
)


def digits_of(calls: Iterable[ToolCall]) -> str:
    """Returns the keys of the first valid call of the tool; empty: there is none."""
    return next((digits for call in calls if call.name == SEND_DIGITS and (digits := valid_digits(call))), "")


def result_of_digits(call: ToolCall, *, was_sent: bool) -> str:
    """Returns the result of a call of the tool. `was_sent`: whether keys of its turn were pressed."""
    if not valid_digits(call):
        return NOT_DIGITS
    return "pressed" if was_sent else "not pressed: the other side spoke before your words were heard to their end"
