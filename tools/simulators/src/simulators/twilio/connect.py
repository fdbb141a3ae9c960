"""<Connect>: opens a media stream, or a session of ConversationRelay, waits for its end, and decides what is next."""

import asyncio
import hashlib
from collections.abc import Mapping

from simulators.twilio.background_tasks import BackgroundTasks
from simulators.twilio.call import Call, now
from simulators.twilio.call_clock import CallEnded
from simulators.twilio.ledger import ErrorEntry, UtteranceEntry, WebhookEntry
from simulators.twilio.live_callee import LiveCallee
from simulators.twilio.media_stream import MediaStream
from simulators.twilio.recording import Recording
from simulators.twilio.relay_session import RelaySession
from simulators.twilio.stream_connection import StreamConnection, StreamError, connect
from simulators.twilio.stream_ledger import StreamEntry
from simulators.twilio.stream_settings import StreamSettings
from simulators.twilio.twiml import RELAY, Verb
from simulators.twilio.webhooks import Webhooks

_VOICES = ("callee-1", "callee-2", "callee-3", "callee-4")
_MAX_PARAMETER_LENGTH = 500
_NOT_CONNECTED = 64102


class Connect:
    """Executes <Connect> on one call."""

    def __init__(self, call: Call, webhooks: Webhooks, tasks: BackgroundTasks, settings: StreamSettings) -> None:
        self._call, self._webhooks, self._tasks, self._settings = call, webhooks, tasks, settings

    async def run(self, stream: Verb, url: str) -> Mapping[str, str] | None:
        """Runs the stream to its end. Raises CallEnded.

        Returns the fields with which <Connect action> is requested next; None: it is not. Whether a refused handshake
        or a lost connection leads to `action` is not documented for a media stream: `after_failure` decides.
        """
        faults = self._settings.faults
        entry = self._new_entry(stream, url)
        connection: StreamConnection | None = None
        try:
            connection = await self._open(entry, never_connects=faults.never_connects)
            self._report(stream, entry, "stream-started")
            if stream.name == RELAY:
                session = RelaySession(self._call, self._callee(entry), entry, connection, stream, self._settings)
                await session.run()
                return _session_fields(entry, session.handoff)
            await MediaStream(self._call, self._callee(entry), entry, connection, faults).run()
        except StreamError as error:
            self._fail(stream, entry, error)
            if faults.after_failure == "end":
                raise CallEnded("stream") from error
            if stream.name == RELAY:
                return _session_fields(entry, None, error) if faults.after_failure == "action" else None
            return {} if faults.after_failure == "action" else None
        finally:
            if entry.opened:
                self._call.stream_ended_at = asyncio.get_running_loop().time()
            if entry.closed_by not in (None, "network", "refused"):
                self._report(stream, entry, "stream-stopped")
            if connection is not None:
                await connection.close()
        return {}

    async def _open(self, entry: StreamEntry, *, never_connects: bool) -> StreamConnection:
        with self._call.clock.real_time():
            try:
                if never_connects:
                    raise StreamError(31901, "no answer")
                connection = await connect(self._webhooks, entry.url)
            except StreamError as error:
                raise (StreamError(_NOT_CONNECTED, str(error)) if entry.kind == RELAY else error) from error
        entry.opened = True
        if (ended_at := self._call.stream_ended_at) is not None:
            entry.gap_seconds = round(asyncio.get_running_loop().time() - ended_at, 4)
        return connection

    def _new_entry(self, stream: Verb, url: str) -> StreamEntry:
        parameters = {
            nested.attributes.get("name", ""): nested.attributes.get("value", "")[:_MAX_PARAMETER_LENGTH]
            for nested in stream.nested
            if nested.name == "Parameter"
        }
        number = len(self._call.entry.streams)
        prefix = "VX" if stream.name == RELAY else "MZ"
        sid = prefix + hashlib.sha256(f"{self._call.sid}:{number}".encode()).hexdigest()[:32]
        entry = StreamEntry(url, sid, stream.attributes.get("name", sid), parameters, kind=stream.name)
        self._call.entry.streams.append(entry)
        return entry

    def _callee(self, entry: StreamEntry) -> LiveCallee:
        """Returns the call's callee, who has gone on during the time since the previous stream."""
        call = self._call
        if call.live_callee is None:
            language = call.callee.settings.language or call.language or self._settings.language
            voice = _VOICES[sum(map(ord, call.entry.to)) % len(_VOICES)]
            call.live_callee = LiveCallee(
                call.callee, language, voice, self._settings.spoken_words, self._settings.speak
            )
            call.recording = None if self._settings.recordings is None else Recording()
        elif entry.gap_seconds is not None:
            sound = call.live_callee.skip(entry.gap_seconds)
            if sound is not None and sound.text:
                call.entry.utterances.append(UtteranceEntry("callee", text=sound.text))
            if call.recording is not None:
                call.recording.add_silence(entry.gap_seconds)
        entry.starts_at_seconds = 0.0 if call.recording is None else round(call.recording.seconds, 2)
        return call.live_callee

    def _fail(self, stream: Verb, entry: StreamEntry, error: StreamError) -> None:
        entry.closed_by = "network" if entry.opened else "refused"
        self._call.entry.errors.append(ErrorEntry(error.code, str(error), entry.url))
        self._report(stream, entry, "stream-error", f"{error.code}: {error}")

    def _report(self, stream: Verb, entry: StreamEntry, event: str, error: str = "") -> None:
        """Sends the status callback of the <Stream>, if it has one. The answer does not affect the call."""
        if (url := stream.attributes.get("statusCallback")) is None:
            return
        form = {
            "AccountSid": self._call.account_sid,
            "CallSid": self._call.sid,
            "StreamSid": entry.sid,
            "StreamName": entry.name,
            "StreamEvent": event,
            "Timestamp": now().isoformat(),
        }
        form |= {"StreamError": error} if error else {}
        hook = WebhookEntry("stream", url, event=event)
        self._call.entry.webhooks.append(hook)
        method = stream.attributes.get("statusCallbackMethod", "POST")
        self._tasks.spawn(self._webhooks.send(url, form, hook, method=method))


def _session_fields(entry: StreamEntry, handoff: str | None, error: StreamError | None = None) -> dict[str, str]:
    """Returns what a session of ConversationRelay adds to the request of `action`."""
    fields = {
        "SessionId": entry.sid,
        "SessionStatus": "ended" if error is None else "failed",
        "SessionDuration": str(round(entry.seconds)),
    }
    if handoff is not None:
        fields["HandoffData"] = handoff
    return fields if error is None else {**fields, "ErrorCode": str(error.code), "ErrorMessage": str(error)}
