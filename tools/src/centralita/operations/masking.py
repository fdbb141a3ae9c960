"""Phone numbers as they are printed: enough to know one's own again, not enough to call anybody."""

import re

_NUMBER = re.compile(r"\+[1-9]\d{6,14}")


def masked(text: str) -> str:
    """The text with the middle of every E.164 number in it made unreadable: ``+1•••••••••23``."""
    return _NUMBER.sub(lambda match: f"{match[0][:2]}{'•' * (len(match[0]) - 4)}{match[0][-2:]}", text)
