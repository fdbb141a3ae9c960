"""The webhooks that a telephone provider calls, and their URLs.

Voice builds these URLs when it dials or redirects a call, and an instruction names the next one. The edge serves them.
A URL names the call, the attempt and, where it matters, the turn. A webhook that arrives before the answer to the dial
request therefore still finds its call. The form of a URL must not change: calls in progress during an upgrade use URLs
of the previous version.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

ATTEMPT_PATH = "/{call_id:uuid}/{attempt:number}"
TURN_PATH = ATTEMPT_PATH + "/{turn:number}"

AFTER_SPOKEN_TEXT = "said"
"""Query parameter of `Webhook.UTTERANCE`: the provider's own voice spoke before the callee did."""
FIRST_SENTENCE = "from"
"""Query parameter of `Webhook.REMAINDER`: the number of the first sentence to speak."""


class Webhook(StrEnum):
    """The kinds of webhooks. The value is the first part of the path and the metric's label."""

    ANSWERED = "voice"
    """The callee has answered; the provider asks for the first instruction."""
    UTTERANCE = "gather"
    """The callee has spoken, or stayed silent; the provider asks for the next instruction."""
    REMAINDER = "say"
    """Voice has redirected the call: the provider asks for the unplayed remainder of a turn."""
    STATUS = "status"
    """The status of the attempt has changed."""
    CLASSIFICATION = "amd"
    """Answering-machine detection has finished."""

    @property
    def template(self) -> str:
        """The path below the provider's prefix, with parameters in Starlette's notation (`chassis.path_numbers`)."""
        has_turn = self in (Webhook.UTTERANCE, Webhook.REMAINDER)
        return f"/{self}{TURN_PATH if has_turn else ATTEMPT_PATH}"


def build_path(template: str, **parameters: object) -> str:
    """Returns the path of a template, with its parameters filled in."""
    return re.sub(r"{(\w+):\w+}", lambda parameter: str(parameters[parameter[1]]), template)


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

    def utterance(self, call_id: UUID, attempt: int, turn: int, *, is_after_spoken_text: bool) -> str:
        """Returns the URL that is called with the utterance of `turn`."""
        query = f"?{AFTER_SPOKEN_TEXT}=true" if is_after_spoken_text else ""
        return self._build(Webhook.UTTERANCE, query, call_id=call_id, attempt=attempt, turn=turn)

    def remainder(self, call_id: UUID, attempt: int, turn: int, sentence: int) -> str:
        """Returns the URL whose instruction speaks the unplayed remainder of `turn`, from `sentence` on."""
        query = f"?{FIRST_SENTENCE}={sentence}"
        return self._build(Webhook.REMAINDER, query, call_id=call_id, attempt=attempt, turn=turn)

    def _build(self, webhook: Webhook, query: str, **parameters: object) -> str:
        return self.base_url + self.prefix + build_path(webhook.template, **parameters) + query + self.fragment
