"""Marks of direction in a text (Unicode annex 9, section 2): they end with the text, and turn nothing beside it.

A browser puts an isolate around an element, and closes it at the element's end. It pairs the closing mark with the last
one that is open, though, which may be one of the text: then the isolate stays open. In the same way a closing mark of
the text would end the isolate too early.
"""

import re

_MARKS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_POP_FORMATTING, _POP_ISOLATE = "\u202c", "\u2069"
_CLOSING = {
    **dict.fromkeys("\u202a\u202b\u202d\u202e", _POP_FORMATTING),
    **dict.fromkeys("\u2066\u2067\u2068", _POP_ISOLATE),
}


def closed(text: str) -> str:
    """Returns a text with its open marks closed at the end, and without those that close nothing."""
    if not _MARKS.search(text):
        return text
    still_open: list[str] = []
    open_isolates = 0

    def kept(found: re.Match[str]) -> str:
        nonlocal open_isolates
        mark = found[0]
        if closing := _CLOSING.get(mark):
            still_open.append(closing)
            open_isolates += closing == _POP_ISOLATE
        elif mark == _POP_ISOLATE and open_isolates:
            open_isolates -= 1
            while still_open.pop() != mark:
                pass  # it also closes what was opened inside
        elif mark == _POP_FORMATTING and still_open and still_open[-1] == mark:
            still_open.pop()
        else:
            return ""
        return mark

    balanced = _MARKS.sub(kept, text)
    return balanced + "".join(reversed(still_open))
