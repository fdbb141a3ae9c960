"""Decides which answers of the model may be reused for other callees, and under which key.

An answer may be reused only if it cannot contain anything about one person. So:

- no tool was called in the conversation (a note records what the callee said about themselves), and its campaign has
  none that looks something up;
- neither the utterance nor the answer contains a word of the contact's variables;
- the utterance contains no number.

The key is a digest of the script template, the language, the model, the agent's previous words and the utterance. The
previous words are part of it because "yes" means something else after another question. Case, accents, punctuation and
the contact's variables are removed from both texts.
"""

import hashlib
import json

from contracts.personal_words import has_digit, has_personal_words, personal_words, words_of
from contracts.script import greeting
from conversation.domain.conversation import Conversation


def cache_key(conversation: Conversation, model: str) -> str | None:
    """Returns the key for the answer to the last utterance; none if the answer must not be reused."""
    if conversation.tools:
        return None
    utterance, personal = words_of(conversation.turns[-1].utterance or ""), personal_words(conversation.call.variables)
    if not utterance or conversation.tool_calls or personal & set(utterance) or any(map(has_digit, utterance)):
        return None
    call, previous = conversation.call, _previous_words(conversation, personal)
    parts = [call.script_template, call.language, model, previous, utterance]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def is_reusable(conversation: Conversation, answer: str) -> bool:
    """Whether an answer to the last utterance may be reused for other callees."""
    return not conversation.tool_calls and not has_personal_words(answer, conversation.call.variables)


def _previous_words(conversation: Conversation, personal: set[str]) -> list[str]:
    turns = conversation.turns
    previous = turns[-2].reply_text if len(turns) > 1 else greeting(conversation.call.script_template)
    return ["" if word in personal else word for word in words_of(previous)]
