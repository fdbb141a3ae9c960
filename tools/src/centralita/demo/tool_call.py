"""The tool of the live demo: a callee asks which hours are free, and the model asks a system of the company.

That system is a receiver in a thread of the demo, as docs/tools.md describes it: it checks the signature of each
request, and answers a repeated one as the first time. The campaign of this callee has the tool in its terms.
"""

import base64
import hmac
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from uuid import UUID

from pydantic import SecretStr
from rich.console import Console

from centralita.demo.failure import DemoFailed
from centralita.embedded.console import ApiKey, api_key
from centralita.embedded.secret_keys import secret_keys
from centralita.embedded.system import System
from centralita.operations.rest_api import RestApi
from chassis.event_log import EventLog
from chassis.settings import key_bytes
from contracts import CallRequested, ReplyGenerated, SpeechHeard, ToolCalled, ToolStatus
from contracts.filters import call_facts_filter
from sealing import SigningKey

CAMPAIGN_ID = "appointment-questions"
PHRASES = ("Which hours are free?", "And on other days?", "Are there any more?", "Thank you, goodbye.")
"""Several questions: on a loaded machine the answer to one may come too late, and the callee hears the fallback."""
HOURS = ("10:00", "11:30")
TOOL = "free_hours"
SETTINGS = {"TOOLS_PERMIT_LOOPBACK": "true"}


@dataclass
class Receiver:
    """The receiver. `requests`: the identity of each request that was signed with the key of the campaign."""

    key: bytes = field(repr=False)
    url: str = ""
    requests: list[str] = field(default_factory=list)

    def is_authentic(self, headers: Message, body: bytes) -> bool:
        """Returns whether the request is signed as Standard Webhooks says."""
        signed = f"{headers['Webhook-Id']}.{headers['Webhook-Timestamp']}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.digest(self.key, signed, "sha256")).decode()
        signatures = (headers["Webhook-Signature"] or "").split()
        return any(hmac.compare_digest(expected, signature) for signature in signatures)


def asking(request: CallRequested) -> CallRequested:
    """Returns the request as one of the campaign with the tool."""
    return request.model_copy(update={"campaign_id": CAMPAIGN_ID})


@contextmanager
def receiving(system: System) -> Iterator[Receiver]:
    """Runs the receiver on a free port of the loopback interface."""
    secret = key_bytes(SecretStr(secret_keys(system.folder, os.environ)["TOOL_SIGNING_KEY"]))
    receiver = Receiver(SigningKey.of(secret, CAMPAIGN_ID).key)

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not receiver.is_authentic(self.headers, body):
                self.send_error(401)
                return
            receiver.requests.append(self.headers["Idempotency-Key"])
            answer = json.dumps({"hours": HOURS}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/{TOOL}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def key_of(run_key: ApiKey) -> ApiKey:
    """Returns the key that declares the campaign: that of the run, or another one if only a digest is known."""
    if run_key.is_known:
        return run_key
    own = api_key("")
    return ApiKey(own.key, {"API_KEYS": ",".join((os.environ["API_KEYS"], own.key))})


@asynccontextmanager
async def offered(system: System, key: ApiKey) -> AsyncIterator[Receiver]:
    """Runs the receiver during the block, and declares the campaign before. Raises RequestFailed."""
    with receiving(system) as receiver:
        tool = {
            "name": TOOL,
            "description": "The free hours of the next days. Use it when the person asks for them.",
            "parameters": {
                "type": "object",
                "properties": {"question": {"type": "string", "description": "in the words of the person"}},
                "required": ["question"],
            },
            "url": receiver.url,
        }
        async with RestApi(system.edge_url, key.key) as api:
            await api.create({"campaign_id": CAMPAIGN_ID, "tools": {"http": [tool]}})
            await api.start(CAMPAIGN_ID)
        yield receiver


async def show_tool_call(console: Console, system: System, log: EventLog, call_id: UUID, receiver: Receiver) -> None:
    """Shows the tool call, and what the agent said of its result.

    Raises DemoFailed, unless vendors are real: then a person decides what to ask, and the model what to do.
    """
    events = [stored.event for stored in await log.read((call_facts_filter(call_id),))]
    called = [event for event in events if isinstance(event, ToolCalled) and event.status is ToolStatus.SUCCEEDED]
    replies = {event.turn: event.text for event in events if isinstance(event, ReplyGenerated)}
    questions = {event.turn: event.text for event in events if isinstance(event, SpeechHeard)}
    said = [(one, replies[one.turn]) for one in called if HOURS[0] in replies.get(one.turn, "")]
    if not said:
        if system.vendors.real:
            console.print(f"The model did not call the tool {TOOL}.")
            return
        raise DemoFailed(f"{call_id}: no reply has the hours that the tool {TOOL} returns")
    tool_call, reply = said[0]
    if f"{call_id}-{tool_call.attempt}-{tool_call.turn}-{tool_call.number}" not in receiver.requests:
        raise DemoFailed(f"{call_id}: the receiver of the tool {TOOL} got no signed request")
    seconds = f"{tool_call.seconds:.2f} s"
    console.print(
        f"A callee asked “{questions[tool_call.turn]}” The model called the tool {TOOL} of the campaign: a signed HTTP "
        f"request, answered with {tool_call.result} after {seconds}. The agent said: “{reply}”"
    )
