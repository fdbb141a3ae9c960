"""The webhooks that a telephone provider calls, and their URLs.

Voice builds these URLs when it dials or redirects a call, and an instruction names the next one. The edge serves them.
A URL names the call, the attempt and, where it matters, the turn. A webhook that arrives before the answer to the dial
request therefore still finds its call. The form of a URL must not change: calls in progress during an upgrade use URLs
of the previous version.

A URL of a turn also carries the sequence of the turn's `speech.heard` (`AFTER_SEQUENCE`). All other events of the turn
follow it in the log, so a reader of the turn reads one short page from there. The greeting has no `speech.heard` and no
sequence; URLs of older builds have none either. The provider's signature covers the query of a webhook, and the token
that of a media URL. So only we choose the sequence. Readers check what they find there nevertheless.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

ATTEMPT_PATH = "/{call_id:uuid}/{attempt:number}"
TURN_PATH = ATTEMPT_PATH + "/{turn:number}"
GENERATION_PATH = ATTEMPT_PATH + "/{generation:number}"

AFTER_SPOKEN_TEXT = "said"
"""Query parameter of `Webhook.UTTERANCE` and `MESSAGE`: the provider's own voice has spoken."""
AFTER_SEQUENCE = "after"
"""Query parameter of URLs of a turn: the sequence of the turn's `speech.heard`. Without it, that is not known."""
FINISHED = "finished"
"""Query parameter of `Webhook.MESSAGE`: the message was played to its end."""
FIRST_SENTENCE = "from"
"""Query parameter of `Webhook.REMAINDER`: the number of the first sentence to speak."""
REPETITION = "again"
"""Query parameter of `Webhook.STREAM_ENDED`: how often the same was asked before, because the log could not be read."""

MAX_SEQUENCE = 10**18 - 1
"""The server's sequences have 64 bits. At a million messages a second this one is reached after 30,000 years."""


class Webhook(StrEnum):
    """The kinds of webhooks. The value is the first part of the path and the metric's label."""

    ANSWERED = "voice"
    """The callee has answered; the provider asks for the first instruction."""
    UTTERANCE = "gather"
    """The callee has spoken, or stayed silent; the provider asks for the next instruction."""
    REMAINDER = "say"
    """Voice has redirected the call: the provider asks for the unplayed remainder of a turn."""
    MESSAGE = "message"
    """A machine answered: the provider asks for the message to it, or reports that it has played the message."""
    STATUS = "status"
    """The status of the attempt has changed."""
    CLASSIFICATION = "amd"
    """Answering-machine detection has finished."""
    STREAM_ENDED = "live"
    """A media stream of the call has ended; the provider asks for the next instruction."""
    TRANSFER_ENDED = "transfer"
    """The leg to a person has ended, or was not answered; the provider asks for the callee's next instruction."""
    TRANSFER_ANSWERED = "transfer_answered"
    """A person has answered, and is connected with the callee."""
    TRANSFER_OFFERED = "transfer_offer"
    """A person has answered; the provider asks for an instruction for this leg, before it connects the callee."""
    TRANSFER_CHOSEN = "transfer_choice"
    """The person has pressed a key; the provider asks for the next instruction for this leg."""

    @property
    def template(self) -> str:
        """The path below the provider's prefix, with parameters in Starlette's notation (`chassis.path_numbers`)."""
        if self is Webhook.STREAM_ENDED:
            return f"/{self}{GENERATION_PATH}"
        has_turn = self in (Webhook.UTTERANCE, Webhook.REMAINDER, *TRANSFER_WEBHOOKS)
        return f"/{self}{TURN_PATH if has_turn else ATTEMPT_PATH}"


TRANSFER_WEBHOOKS = (
    Webhook.TRANSFER_ENDED,
    Webhook.TRANSFER_ANSWERED,
    Webhook.TRANSFER_OFFERED,
    Webhook.TRANSFER_CHOSEN,
)


def build_path(template: str, **parameters: object) -> str:
    """Returns the path of a template, with its parameters filled in."""
    return re.sub(r"{(\w+):\w+}", lambda parameter: str(parameters[parameter[1]]), template)


def build_query(parameters: Mapping[str, object]) -> str:
    """Returns the query with its question mark, without parameters that are None; empty if all are."""
    pairs = [f"{name}={value}" for name, value in parameters.items() if value is not None]
    return "?" + "&".join(pairs) if pairs else ""


def parse_sequence(text: str | None) -> int:
    """Returns the value of `AFTER_SEQUENCE`, or 0 if there is none or it is not a sequence."""
    is_sequence = text is not None and text.isascii() and text.isdigit() and len(text) <= len(str(MAX_SEQUENCE))
    return int(text or 0) if is_sequence else 0


@dataclass(frozen=True, slots=True)
class WebhookUrls:
    """Builds the webhook URLs of one provider.

    `base_url` is the edge's public address, without a slash at its end. `prefix` is the provider's part of the paths.
    `fragment` is appended to every URL; a provider may read options from it.
    """

    base_url: str
    prefix: str
    fragment: str = ""

    def answered(self, call_id: UUID, attempt: int) -> str:
        """Returns the URL that is called when the callee answers."""
        return self._build(Webhook.ANSWERED, "", call_id=call_id, attempt=attempt)

    def status(self, call_id: UUID, attempt: int) -> str:
        """Returns the URL that is called when the attempt's status changes."""
        return self._build(Webhook.STATUS, "", call_id=call_id, attempt=attempt)

    def classification(self, call_id: UUID, attempt: int) -> str:
        """Returns the URL that is called with the result of answering-machine detection."""
        return self._build(Webhook.CLASSIFICATION, "", call_id=call_id, attempt=attempt)

    def utterance(
        self, call_id: UUID, attempt: int, turn: int, *, is_after_spoken_text: bool, after_sequence: int = 0
    ) -> str:
        """Returns the URL that is called with the utterance of `turn`. `after_sequence` is that of the turn before."""
        query = build_query(
            {
                AFTER_SPOKEN_TEXT: "true" if is_after_spoken_text else None,
                AFTER_SEQUENCE: after_sequence or None,
            }
        )
        return self._build(Webhook.UTTERANCE, query, call_id=call_id, attempt=attempt, turn=turn)

    def remainder(self, call_id: UUID, attempt: int, turn: int, sentence: int, *, after_sequence: int = 0) -> str:
        """Returns the URL whose instruction speaks the unplayed remainder of `turn`, from `sentence` on."""
        query = build_query({FIRST_SENTENCE: sentence, AFTER_SEQUENCE: after_sequence or None})
        return self._build(Webhook.REMAINDER, query, call_id=call_id, attempt=attempt, turn=turn)

    def message(
        self, call_id: UUID, attempt: int, *, is_finished: bool = False, is_after_spoken_text: bool = False
    ) -> str:
        """Returns the URL whose instruction plays the message to a machine, or that reports the end of the message."""
        query = build_query(
            {
                FINISHED: "true" if is_finished else None,
                AFTER_SPOKEN_TEXT: "true" if is_after_spoken_text else None,
            }
        )
        return self._build(Webhook.MESSAGE, query, call_id=call_id, attempt=attempt)

    def stream_ended(self, call_id: UUID, attempt: int, generation: int, *, repetition: int = 0) -> str:
        """Returns the URL that is called when a media stream has ended."""
        query = build_query({REPETITION: repetition or None})
        return self._build(Webhook.STREAM_ENDED, query, call_id=call_id, attempt=attempt, generation=generation)

    def transfer(self, webhook: Webhook, call_id: UUID, attempt: int, turn: int) -> str:
        """Returns the URL of one of `TRANSFER_WEBHOOKS`. `turn`: in which the transfer was announced."""
        return self._build(webhook, "", call_id=call_id, attempt=attempt, turn=turn)

    def _build(self, webhook: Webhook, query: str, **parameters: object) -> str:
        return self.base_url + self.prefix + build_path(webhook.template, **parameters) + query + self.fragment
