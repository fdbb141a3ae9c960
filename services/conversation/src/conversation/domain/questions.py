"""Which questions may be answered with what somebody else was answered.

An answer is kept only if nothing in it can be one person's: no tool was called in the talk so far (a note is what a
person told us), no word of the person's variables is in the question or the answer, and no number in the question. It
is found by the script's template, its language, the model, what the agent had just said and the question, the last two
without case, accents and punctuation, and with the person's variables taken out: so "yes" is the same question only
after the same line.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping

from contracts.script import greeting
from conversation.domain.talk import Talk

_SHORT = 3
"""Words below this length are nobody's own; numbers always may be."""


def key_of(talk: Talk, model: str) -> str | None:
    """Under what the answer to the last exchange is kept; none if it may only be this person's."""
    heard = talk.exchanges[-1].heard or ""
    question, own = _words(heard), _own_words(talk.call.variables)
    if not question or talk.tool_calls or own & set(question) or any(_has_digit(word) for word in question):
        return None
    about = [talk.call.script_template, talk.call.language, model, _line_before(talk, own), question]
    return hashlib.sha256(json.dumps(about, ensure_ascii=False).encode()).hexdigest()


def is_for_everybody(talk: Talk, said: str) -> bool:
    """Whether an answer may be given to others."""
    return not talk.tool_calls and not _own_words(talk.call.variables) & set(_words(said))


def _line_before(talk: Talk, own: set[str]) -> list[str]:
    before = talk.exchanges[-2].said if len(talk.exchanges) > 1 else greeting(talk.call.script_template)
    return ["" if word in own else word for word in _words(before)]


def _own_words(variables: Mapping[str, str]) -> set[str]:
    return {word for value in variables.values() for word in _words(value) if len(word) >= _SHORT or _has_digit(word)}


def _words(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+", bare)


def _has_digit(word: str) -> bool:
    return any(letter.isdigit() for letter in word)
