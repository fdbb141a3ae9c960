"""A connected call: documents of TwiML fetched and carried out, verb by verb, until somebody ends it."""

import math
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urljoin

from simulators.twilio.call import Call
from simulators.twilio.call_audio import CHARACTERS_PER_SECOND, BargedIn, Line
from simulators.twilio.call_clock import CallOver
from simulators.twilio.callee_phrases import language_of
from simulators.twilio.ledger import ErrorEntry, UtteranceEntry, WebhookEntry, WebhookKind
from simulators.twilio.twiml import Document, TwimlError, Verb, parse
from simulators.twilio.webhooks import Answer, Webhooks

_APPLICATION_ERROR_SECONDS = 4.0
_END_OF_SPEECH_SECONDS = 1.0
_DEFAULT_GATHER_TIMEOUT = 5.0


@dataclass(frozen=True)
class Fetch:
    """The next document: where it is, and the fields to send besides the call's own."""

    kind: WebhookKind
    url: str
    method: str = "POST"
    form: dict[str, str] = field(default_factory=dict)


class Conversation:
    """Carries out TwiML on one call."""

    def __init__(self, call: Call, webhooks: Webhooks) -> None:
        self._call, self._webhooks = call, webhooks
        self._line = Line(call, webhooks)
        self._at = ""
        self._fell_back = False

    async def run(self, start: Fetch | str) -> NoReturn:
        """Converse from a URL, or from inline TwiML. Always ends by raising CallOver."""
        document = await (self._read_inline(start) if isinstance(start, str) else self._fetch(start))
        while True:
            following = await self._carry_out(document)
            if following is None:
                raise CallOver("twiml")
            document = await self._fetch(following)

    async def _read_inline(self, twiml: str) -> Document:
        try:
            return self._accept(parse(twiml.encode()))
        except TwimlError as error:
            return await self._recover(error)

    async def _fetch(self, fetch: Fetch) -> Document:
        entry = WebhookEntry(fetch.kind, fetch.url)
        self._call.entry.webhooks.append(entry)
        self._at = fetch.url
        form = self._call.form("in-progress") | fetch.form
        with self._call.clock.real_time():
            answer = await self._webhooks.send(fetch.url, form, entry, method=fetch.method)
        self._call.clock.check()
        try:
            return self._accept(_document(answer, fetch.url))
        except TwimlError as error:
            return await self._recover(error)

    def _accept(self, document: Document) -> Document:
        for name in document.unknown:
            self._call.entry.errors.append(ErrorEntry(12200, f"<{name}> is not carried out", self._at))
        return document

    async def _recover(self, error: TwimlError) -> Document:
        self._call.entry.errors.append(ErrorEntry(error.code, str(error), self._at))
        parameters = self._call.parameters
        if parameters.fallback_url is not None and not self._fell_back:
            self._fell_back = True
            reason = {"ErrorCode": str(error.code), "ErrorUrl": self._at}
            return await self._fetch(Fetch("fallback", parameters.fallback_url, parameters.fallback_method, reason))
        await self._line.sound(_APPLICATION_ERROR_SECONDS)
        raise CallOver("application_error")

    async def _carry_out(self, document: Document) -> Fetch | None:
        for verb in document.verbs:
            following = await self._carry_out_verb(verb)
            if following is not None:
                return following
        return None

    async def _carry_out_verb(self, verb: Verb) -> Fetch | None:
        match verb.name:
            case "Gather":
                return await self._gather(verb)
            case "Redirect":
                return Fetch("redirect", self._url(verb.text), verb.attributes.get("method", "POST"))
            case "Hangup" | "Reject":
                raise CallOver("twiml")
            case _:
                await self._sound(verb)
                return None

    async def _sound(self, verb: Verb) -> None:
        if verb.name == "Pause":
            await self._call.clock.sleep(verb.seconds("length", 1.0))
            return
        for _ in range(verb.repeats):
            if verb.name == "Say":
                await self._line.say(verb.text)
            else:
                await self._line.play(self._url(verb.text))

    async def _gather(self, verb: Verb) -> Fetch | None:
        callee = self._call.callee
        speech = "speech" in verb.attributes.get("input", "dtmf").split()
        reply = callee.next_reply(language_of(verb.attributes.get("language", "en-US"))) if speech else None
        may_barge = reply is not None and verb.flag("bargeIn", True)
        interrupted = await self._prompt(
            verb.nested, reply.barges_in_after if reply is not None and may_barge else math.inf
        )
        timeout = verb.seconds("timeout", _DEFAULT_GATHER_TIMEOUT)
        if reply is None or (not interrupted and reply.delay > timeout):
            return await self._nothing_heard(verb, timeout)
        await self._call.clock.sleep(0.0 if interrupted else reply.delay)
        self._call.entry.said.append(UtteranceEntry("callee", text=reply.text))
        await self._call.clock.sleep(len(reply.text) / CHARACTERS_PER_SECOND)
        await self._call.clock.sleep(verb.seconds("speechTimeout", _END_OF_SPEECH_SECONDS))
        return self._result(verb, {"SpeechResult": reply.text, "Confidence": str(reply.confidence)})

    async def _prompt(self, nested: tuple[Verb, ...], barges_in_after: float) -> bool:
        self._line.barges_in_after = barges_in_after
        try:
            for verb in nested:
                await self._sound(verb)
        except BargedIn:
            return True
        finally:
            self._line.barges_in_after = math.inf
        return False

    async def _nothing_heard(self, verb: Verb, timeout: float) -> Fetch | None:
        await self._call.clock.sleep(timeout)
        if self._call.callee.has_had_enough():
            raise CallOver("callee")
        return self._result(verb, {}) if verb.flag("actionOnEmptyResult", False) else None

    def _result(self, verb: Verb, form: dict[str, str]) -> Fetch:
        url = self._url(verb.attributes.get("action", ""))
        return Fetch("gather", url, verb.attributes.get("method", "POST"), form)

    def _url(self, reference: str) -> str:
        return urljoin(self._at, reference)


def _document(answer: Answer, url: str) -> Document:
    if not answer.ok:
        raise TwimlError(answer.error_code, f"answered {answer.status or answer.failure}")
    media_type = answer.content_type.partition(";")[0].strip().lower()
    if media_type.startswith("audio/"):
        return Document((Verb("Play", url, {}),))
    if media_type not in ("text/xml", "application/xml", "text/html"):
        raise TwimlError(12300, f"content type {media_type!r}")
    return parse(answer.body)
