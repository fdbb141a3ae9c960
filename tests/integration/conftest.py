"""Time-outs that do not expire on a loaded machine.

The tests, the services that they run and the servers share a machine, and each of them may stand still for seconds. A
time-out that a test does not wait for would then decide its result. So the time-outs of the product and of nats-py are
longer here. A test of a time-out sets it itself, and waits until it expires.
"""

import sys
from collections.abc import Iterator

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS

PATIENCE_SECONDS = 60.0
REQUEST_SECONDS = 10.0
"""Of one request to the log: less than `MAX_ELECTION_SECONDS`, so that one that a server has lost is repeated."""
CONSTANTS = (
    "centralita.operations.doctor.account_answers.ANSWER_SECONDS",
    "centralita.operations.doctor.permissions.ANSWER_SECONDS",
    "chassis.jetstream_info.ANSWER_SECONDS",
    "conversation.adapters.http_tools.MAX_TIMEOUT_SECONDS",
    "conversation.adapters.nats.DEADLINE_SECONDS",
    "edge.adapters.contacts.CALLING_TIMES_SECONDS",
    "edge.adapters.dead_letters.ACT_SECONDS",
    "edge.adapters.dead_letters.READ_SECONDS",
    "edge.adapters.nats.OUTCOME_SECONDS",
    "edge.adapters.nats.STATISTICS_SECONDS",
    "edge.adapters.slots.ANSWER_SECONDS",
    "edge.application.streams.MAX_ANSWER_SECONDS",
    "edge.application.unplayed.MAX_REPLY_SECONDS",
    "edge.entrypoints.webhooks.MAX_BODY_SECONDS",
    "voice.adapters.call_clips.DEADLINE_SECONDS",
    "voice.adapters.clips.DEADLINE_SECONDS",
    "voice.adapters.elevenlabs.NEXT_PIECE_SECONDS",
    "voice.adapters.twilio.DEADLINE_SECONDS",
    "voice.adapters.twilio.MAX_WAIT_SECONDS",
    "voice.adapters.vendor_sockets.CONNECT_SECONDS",
    "voice.application.live.call_record.MAX_FLUSH_SECONDS",
    "voice.application.live.live_speech.MAX_SILENT_SECONDS",
    "voice.application.live.speaking.MAX_MARK_SECONDS",
    "voice.application.speech.turns.MAX_RECORDING_SECONDS",
    "voice.entrypoints.media_stream.START_SECONDS",
    "voice.entrypoints.stream_socket.MAX_STALL_SECONDS",
    "voice.entrypoints.stream_socket.MAX_WAITING_SECONDS",
)
ARGUMENTS = (
    ("voice.application.live.live_calls.LiveCalls", "max_lag_seconds"),
    ("voice.application.speech.prepared_clips.PreparedClips", "max_wait_seconds"),
    ("voice.application.speech.synthesis.SpeechSynthesis", "deadline_seconds"),
)
"""Classes, and arguments whose default value is a time-out."""


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lengthens the time-outs in the modules that the tests of this process have imported."""
    with pytest.MonkeyPatch.context() as patch:
        _lengthen(patch)
        if "cluster" not in request.path.stem:  # a request to a node that was killed has no answer
            _lengthen_requests(patch)
        yield


def _lengthen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Client.request, "__defaults__", (b"", PATIENCE_SECONDS, False, None))
    prefix, domain, _seconds, *rest = JetStreamContext.__init__.__defaults__ or ()
    patch.setattr(JetStreamContext.__init__, "__defaults__", (prefix, domain, PATIENCE_SECONDS, *rest))
    for name in CONSTANTS:
        module, _, constant = name.rpartition(".")
        if module in sys.modules:
            patch.setattr(sys.modules[module], constant, PATIENCE_SECONDS)
    for name, argument in ARGUMENTS:
        module, _, owner = name.rpartition(".")
        if module in sys.modules:
            patch.setitem(getattr(sys.modules[module], owner).__init__.__kwdefaults__, argument, PATIENCE_SECONDS)


def _lengthen_requests(patch: pytest.MonkeyPatch) -> None:
    for loaded in [*sys.modules.values()]:
        if vars(loaded).get("REQUEST_TIMEOUT_SECONDS") == REQUEST_TIMEOUT_SECONDS:
            patch.setattr(loaded, "REQUEST_TIMEOUT_SECONDS", REQUEST_SECONDS)
