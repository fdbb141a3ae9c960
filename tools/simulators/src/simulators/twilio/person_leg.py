"""The leg to a person before it is connected: the document of its <Number>, which the person hears and answers."""

from typing import NoReturn
from urllib.parse import urljoin

from simulators.twilio.call import Call
from simulators.twilio.call_audio import CHARACTERS_PER_SECOND
from simulators.twilio.callees import Behaviour, Callee
from simulators.twilio.ledger import DialEntry, ErrorEntry, WebhookEntry
from simulators.twilio.twiml import Document, TwimlError, Verb, parse
from simulators.twilio.webhooks import Webhooks

ACCEPT_KEY, DECLINE_KEY = "1", "2"
_DEFAULT_GATHER_TIMEOUT = 5.0
_REACTION_SECONDS = 1.0
_KEYS = {Behaviour.HUMAN: ACCEPT_KEY, Behaviour.DECLINES: DECLINE_KEY}
"""What a person presses. Others press nothing: a voicemail, or a person who is silent."""


class LegEnded(Exception):
    """The leg ended before it was connected."""


class PersonLeg:
    """Executes documents on the second leg, until one of them ends: then both legs are connected."""

    def __init__(self, call: Call, entry: DialEntry, person: Callee, webhooks: Webhooks) -> None:
        self._call, self._entry, self._person, self._webhooks = call, entry, person, webhooks
        self._url = ""

    async def run(self, url: str, method: str) -> None:
        """Executes the document at this URL, and those that follow. Raises LegEnded, and CallEnded of the first leg."""
        following: tuple[str, str, dict[str, str]] | None = (url, method, {})
        while following is not None:
            document = await self._fetch(*following)
            following = await self._execute(document)

    async def _fetch(self, url: str, method: str, extra: dict[str, str]) -> Document:
        webhook = WebhookEntry("leg", url)
        self._call.entry.webhooks.append(webhook)
        self._url = url
        with self._call.clock.real_time():
            form = self._entry.form(self._call.account_sid, self._call.sid, "in-progress") | extra
            answer = await self._webhooks.send(url, form, webhook, method=method)
        self._call.clock.check()
        if not answer.ok:
            self._fail(answer.error_code, f"answered {answer.status or answer.failure}")
        try:
            return parse(answer.body)
        except TwimlError as error:
            self._fail(error.code, str(error))

    def _fail(self, code: int, reason: str) -> NoReturn:
        self._call.entry.errors.append(ErrorEntry(code, reason, self._url))
        raise LegEnded(reason)

    async def _execute(self, document: Document) -> tuple[str, str, dict[str, str]] | None:
        for verb in document.verbs:
            match verb.name:
                case "Say":
                    await self._hear(verb)
                case "Pause":
                    await self._call.clock.sleep(verb.seconds("length", 1.0))
                case "Gather":
                    if (key := await self._gather(verb)) is not None:
                        url = urljoin(self._url, verb.attributes.get("action", ""))
                        return url, verb.attributes.get("method", "POST"), {"Digits": key}
                case "Redirect":
                    return urljoin(self._url, verb.text), verb.attributes.get("method", "POST"), {}
                case "Hangup" | "Reject":
                    raise LegEnded("twiml")
                case _:
                    self._fail(13233, f"<{verb.name}> is not executed on this leg")
        return None

    async def _gather(self, verb: Verb) -> str | None:
        """Plays the prompt and returns the key that the person presses, if any."""
        key = _KEYS.get(self._person.behaviour)
        for nested in verb.nested[: 1 if key else None]:  # a person who knows what to do does not hear it twice
            await self._hear(nested)
        await self._call.clock.sleep(_REACTION_SECONDS if key else verb.seconds("timeout", _DEFAULT_GATHER_TIMEOUT))
        if self._person.behaviour is Behaviour.HANGS_UP:
            raise LegEnded("person")
        if key:
            self._entry.keys.append(key)
        return key

    async def _hear(self, verb: Verb) -> None:
        if verb.name == "Say":
            self._entry.heard.append(verb.text)
        await self._call.clock.sleep(len(verb.text) / CHARACTERS_PER_SECOND)
