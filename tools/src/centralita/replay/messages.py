"""One message of the log as the wire has it, and as one line of an export."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.event_log import StoredEvent
from contracts import Envelope, TimerDue, decode
from contracts.streams import CALLS, REQUESTS

STREAMS = {REQUESTS.name: REQUESTS, CALLS.name: CALLS}

FACTS = (*(subject for subject in CALLS.subjects if not subject.startswith("timer.")), TimerDue.subjects())
"""Every fact of the log, without its schedules. (The stream QUEUE is an index of it, and no part.)

``timer.set.*`` is not history: it is the server's own note of the one deadline that a call waits for now. The server
removes it when it fires (the fact is then ``timer.due``), and publishing it elsewhere would set a clock there.
"""


@dataclass(frozen=True, slots=True)
class Message:
    """What stands at `sequence` of `stream`; `time` is when the server stored it."""

    stream: str
    sequence: int
    time: datetime
    subject: str
    headers: dict[str, str]
    body: bytes

    @property
    def identity(self) -> str:
        """The id that services know it by; that of its place where its sender gave none (see `chassis`)."""
        place = f"{self.stream}/{self.sequence}"
        return self.headers.get("ce-id") or self.headers.get("Nats-Msg-Id") or place

    def recorded(self) -> StoredEvent:
        """The event in it, as a service is handed it. Raises InvalidMessage."""
        envelope = Envelope.read(self.headers, subject=self.subject, id=self.identity, time=self.time)
        return StoredEvent(decode(self.subject, self.body), envelope, self.sequence)


def facts_about(call_id: UUID) -> tuple[str, ...]:
    """`FACTS` of one call."""
    patterns = [subject.split(".") for subject in FACTS if not subject.startswith("campaign.")]
    return tuple(".".join([*tokens[:2], str(call_id), *tokens[3:]]) for tokens in patterns)


def belongs(stream: str, subject: str) -> bool:
    """Whether the stream takes a message on this subject."""
    return stream in STREAMS and any(_matches(known, subject) for known in STREAMS[stream].subjects)


def _matches(pattern: str, subject: str) -> bool:
    wanted, given = pattern.split("."), subject.split(".")
    return len(wanted) == len(given) and all(a in ("*", b) and b for a, b in zip(wanted, given, strict=True))


def to_json(message: Message) -> str:
    """One JSON object, without line end; a body that is no UTF-8 text stands as ``body_base64``."""
    try:
        body = {"body": message.body.decode()}
    except UnicodeDecodeError:
        body = {"body_base64": base64.b64encode(message.body).decode()}
    fields = {
        "stream": message.stream,
        "sequence": message.sequence,
        "time": message.time.isoformat(),
        "subject": message.subject,
        "headers": message.headers,
        **body,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def from_json(line: str) -> Message:
    """The message that a line stands for. Raises ValueError, KeyError or TypeError at one that is none."""
    fields = json.loads(line)
    text = fields.get("body")
    body = base64.b64decode(fields["body_base64"], validate=True) if text is None else text.encode()
    return Message(
        stream=str(fields["stream"]),
        sequence=int(fields["sequence"]),
        time=datetime.fromisoformat(fields["time"]),
        subject=str(fields["subject"]),
        headers={str(name): str(value) for name, value in fields["headers"].items()},
        body=body,
    )
