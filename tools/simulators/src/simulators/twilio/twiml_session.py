"""A connected call: fetches TwiML documents and executes them, verb by verb, until the call ends."""

import asyncio
import math
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urljoin

from simulators.twilio.call import Call
from simulators.twilio.call_audio import CHARACTERS_PER_SECOND, BargeIn, CallAudio
from simulators.twilio.call_clock import CallEnded
from simulators.twilio.callee_phrases import language_of
from simulators.twilio.callees import Utterance
from simulators.twilio.connect import Connect
from simulators.twilio.dial import Dial
from simulators.twilio.ledger import ErrorEntry, UtteranceEntry, WebhookEntry, WebhookKind
from simulators.twilio.twiml import Document, TwimlError, Verb, parse
from simulators.twilio.webhooks import Answer, Webhooks

_APPLICATION_ERROR_SECONDS = 4.0
_END_OF_SPEECH_SECONDS = 1.0
_DEFAULT_GATHER_TIMEOUT = 5.0
_KEYS = "0123456789*#"
_KEY_SECONDS = 0.25
_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Fetch:
    """A request for the next document; `form` is sent in addition to the call's own fields."""

    kind: WebhookKind
    url: str
    method: str = "POST"
    form: dict[str, str] = field(default_factory=dict)


class TwimlSession:
    """Executes TwiML on one call."""

    def __init__(self, call: Call, webhooks: Webhooks, connect: Connect, dial: Dial) -> None:
        self._call, self._webhooks, self._connect, self._dial = call, webhooks, connect, dial
        self._audio = CallAudio(call, webhooks)
        self._document_url = ""
        self._used_fallback = False

    async def run(self, start: Fetch | str) -> NoReturn:
        """Executes the document at a URL, or inline TwiML, and all that follow. Always raises CallEnded at the end."""
        document = await (self._parse_inline(start) if isinstance(start, str) else self._fetch(start))
        while True:
            next_fetch = await self._execute(document)
            if next_fetch is None:
                raise CallEnded("twiml")
            document = await self._fetch(next_fetch)

    async def _parse_inline(self, twiml: str) -> Document:
        try:
            return self._record_unknown(parse(twiml.encode()))
        except TwimlError as error:
            return await self._recover(error)

    async def _fetch(self, fetch: Fetch) -> Document:
        entry = WebhookEntry(fetch.kind, fetch.url)
        self._call.entry.webhooks.append(entry)
        self._document_url = fetch.url
        form = self._call.form("in-progress") | fetch.form
        with self._call.clock.real_time():
            answer = await self._webhooks.send(fetch.url, form, entry, method=fetch.method)
        self._call.clock.check()
        try:
            return self._record_unknown(_parse_answer(answer, fetch.url))
        except TwimlError as error:
            return await self._recover(error)

    def _record_unknown(self, document: Document) -> Document:
        for name in document.unknown:
            self._call.entry.errors.append(ErrorEntry(12200, f"<{name}> is not supported", self._document_url))
        return document

    async def _recover(self, error: TwimlError) -> Document:
        self._call.entry.errors.append(ErrorEntry(error.code, str(error), self._document_url))
        parameters = self._call.parameters
        if parameters.fallback_url is not None and not self._used_fallback:
            self._used_fallback = True
            reason = {"ErrorCode": str(error.code), "ErrorUrl": self._document_url}
            return await self._fetch(Fetch("fallback", parameters.fallback_url, parameters.fallback_method, reason))
        await self._audio.play_for(_APPLICATION_ERROR_SECONDS)
        raise CallEnded("application_error")

    async def _execute(self, document: Document) -> Fetch | None:
        for verb in document.verbs:
            next_fetch = await self._execute_verb(verb)
            if next_fetch is not None:
                return next_fetch
        return None

    async def _execute_verb(self, verb: Verb) -> Fetch | None:
        match verb.name:
            case "Gather":
                return await self._gather(verb)
            case "Redirect":
                return Fetch("redirect", self._absolute_url(verb.text), verb.attributes.get("method", "POST"))
            case "Connect":
                return await self._run_stream(verb)
            case "Dial":
                return await self._run_dial(verb)
            case "Hangup" | "Reject":
                raise CallEnded("twiml")
            case _:
                await self._play_verb(verb)
                return None

    async def _run_stream(self, verb: Verb) -> Fetch | None:
        if not verb.nested:
            reason = "<Connect> without <Stream> or <ConversationRelay>"
            self._call.entry.errors.append(ErrorEntry(12200, reason, self._document_url))
            return None
        stream, action = verb.nested[0], verb.attributes.get("action")
        fields = await self._connect.run(stream, self._stream_url(stream))
        if action is None or fields is None:
            return None
        return Fetch("connect", self._absolute_url(action), verb.attributes.get("method", "POST"), dict(fields))

    async def _run_dial(self, verb: Verb) -> Fetch | None:
        result, action = await self._dial.run(verb, self._absolute_url), verb.attributes.get("action")
        if action is None or result is None:
            return None
        return Fetch("dial", self._absolute_url(action), verb.attributes.get("method", "POST"), result.form)

    def _stream_url(self, stream: Verb) -> str:
        """Returns the URL of a <Stream>; a relative one belongs to the host of the document."""
        url = stream.attributes.get("url", "")
        if "://" in url:
            return url
        scheme, _, rest = self._absolute_url(url).partition("://")
        return f"{'ws' if scheme == 'http' else 'wss'}://{rest}"

    async def _play_verb(self, verb: Verb) -> None:
        if verb.name == "Pause":
            await self._call.clock.sleep(verb.seconds("length", 1.0))
            return
        for _ in range(verb.repeats):
            if verb.name == "Say":
                await self._audio.speak(verb.text)
            elif digits := verb.attributes.get("digits"):
                await self._press(digits)
            else:
                await self._audio.play(self._absolute_url(verb.text))

    async def _press(self, digits: str) -> None:
        """Presses keys for the callee; `w` waits half a second."""
        for digit in digits:
            if digit == "w":
                await self._call.clock.sleep(_WAIT_SECONDS)
                continue
            if digit not in _KEYS:
                self._call.entry.errors.append(ErrorEntry(13325, f"digits: {digit!r} is no key", self._document_url))
                return
            await self._call.clock.sleep(_KEY_SECONDS)
            self._call.entry.digits += digit
            self._call.callee.receive_key(digit)

    async def _gather(self, verb: Verb) -> Fetch | None:
        if self._call.live_callee is not None:
            self._call.live_callee.leave()
        accepted = verb.attributes.get("input", "dtmf").split()
        if "dtmf" in accepted and (press := self._call.callee.press_key()):
            await self._play_prompt(verb.nested, press.barge_in_seconds)
            self._call.entry.utterances.append(UtteranceEntry("callee", text=press.key))
            return self._gather_result(verb, {"Digits": press.key})
        accepts_speech = "speech" in accepted
        language = self._call.language = language_of(verb.attributes.get("language", "en-US"))
        utterance = self._call.callee.next_utterance(language) if accepts_speech else None
        may_interrupt = utterance is not None and verb.flag("bargeIn", True)
        try:
            was_interrupted = await self._play_prompt(
                verb.nested, utterance.barge_in_seconds if utterance is not None and may_interrupt else math.inf
            )
            timeout = verb.seconds("timeout", _DEFAULT_GATHER_TIMEOUT)
            if utterance is None or (not was_interrupted and utterance.delay > timeout):
                return await self._continue_after_silence(verb, timeout)
            await self._call.clock.sleep(0.0 if was_interrupted else utterance.delay)
        except asyncio.CancelledError:  # the call continues with another document, and the callee has not spoken yet
            if utterance is not None:
                self._call.callee.keep_unspoken(utterance)
            raise
        await self._listen_to(utterance)
        await self._call.clock.sleep(verb.seconds("speechTimeout", _END_OF_SPEECH_SECONDS))
        return self._gather_result(verb, {"SpeechResult": utterance.text, "Confidence": str(utterance.confidence)})

    async def _listen_to(self, utterance: Utterance) -> None:
        self._call.entry.utterances.append(UtteranceEntry("callee", text=utterance.text))
        pauses = sum(pause.seconds for pause in utterance.pauses)
        seconds = len(utterance.text) / CHARACTERS_PER_SECOND + pauses
        await self._call.clock.sleep(seconds / 2 if utterance.is_cut_off else seconds)
        if utterance.is_cut_off:
            raise CallEnded("callee")

    async def _play_prompt(self, nested: tuple[Verb, ...], barge_in_seconds: float) -> bool:
        self._audio.barge_in_seconds = barge_in_seconds
        try:
            for verb in nested:
                await self._play_verb(verb)
        except BargeIn:
            return True
        finally:
            self._audio.barge_in_seconds = math.inf
        return False

    async def _continue_after_silence(self, verb: Verb, timeout: float) -> Fetch | None:
        await self._call.clock.sleep(timeout)
        if self._call.callee.hangs_up_in_silence():
            raise CallEnded("callee")
        return self._gather_result(verb, {}) if verb.flag("actionOnEmptyResult", False) else None

    def _gather_result(self, verb: Verb, form: dict[str, str]) -> Fetch:
        url = self._absolute_url(verb.attributes.get("action", ""))
        return Fetch("gather", url, verb.attributes.get("method", "POST"), form)

    def _absolute_url(self, reference: str) -> str:
        return urljoin(self._document_url, reference)


def _parse_answer(answer: Answer, url: str) -> Document:
    if not answer.ok:
        raise TwimlError(answer.error_code, f"answered {answer.status or answer.failure}")
    media_type = answer.content_type.partition(";")[0].strip().lower()
    if media_type.startswith("audio/"):
        return Document((Verb("Play", url, {}),))
    if media_type not in ("text/xml", "application/xml", "text/html"):
        raise TwimlError(12300, f"content type {media_type!r}")
    return parse(answer.body)
