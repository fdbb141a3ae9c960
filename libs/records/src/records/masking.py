"""Masked phone numbers: enough digits to recognise one's own number, too few to call it."""

import re

_E164_NUMBER = re.compile(r"\+[1-9]\d{6,14}")


def mask_numbers(text: str) -> str:
    """Returns the text with the middle digits of every E.164 number replaced: ``+1•••••••••23``."""
    return _E164_NUMBER.sub(lambda match: f"{match[0][:2]}{'•' * (len(match[0]) - 4)}{match[0][-2:]}", text)
