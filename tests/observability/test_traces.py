"""One call is one trace, from the request on the bus to the last event in MongoDB."""

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.observability.conftest import Observed

from centralita.monitoring.spans import Span
from centralita.monitoring.trace import traced_call, whole
from chassis import tracing
from chassis.event_log import EventLog
from contracts import SpeechHeard
from contracts.examples import EXAMPLES

ALL_SERVICES = "import call_orchestrator.composition, voice.composition, conversation.composition, edge.composition"


def _child_of(span: Span, spans: list[Span]) -> Span | None:
    return next((other for other in spans if other.span_id == span.parent_id), None)


async def test_the_trace_of_a_request_goes_through_every_service_and_vendor_to_the_last_event(tmp_path: Path) -> None:
    call_id, trace_id, received = await traced_call(tmp_path / "run")
    spans = received.trace_of(call_id)
    assert whole(spans)
    assert {span.trace_id for span in spans} == {trace_id}, "the one that the request brought along"
    done = {(span.service, span.name) for span in spans}
    assert done >= {
        ("call-orchestrator", "process orchestrator-requests"),
        ("call-orchestrator", "publish call.created"),
        ("voice", "process voice-dials"),
        ("voice", "ask twilio"),
        ("edge", "POST /twilio/voice"),
        ("edge", "POST /twilio/gather"),
        ("edge", "publish speech.heard"),
        ("conversation", "process conversation-turns"),
        ("conversation", "ask openai"),
        ("voice", "speak"),
        ("voice", "ask elevenlabs"),
        ("conversation", "publish conversation.ended"),
        ("call-orchestrator", "publish call.status_changed"),
        ("campaign-stats", "project call.status_changed"),
    }
    roots = [span for span in spans if _child_of(span, spans) is None]
    assert [root.name for root in roots] == ["process orchestrator-requests"], "what upstream did is not ours to show"


def test_each_call_of_a_campaign_has_a_trace_of_its_own(observed: Observed) -> None:
    traces = [{span.trace_id for span in observed.traces.trace_of(call_id)} for call_id in observed.ids]
    assert all(len(trace) == 1 for trace in traces)
    assert len(set().union(*traces)) == len(observed.ids)


def test_no_number_and_no_spoken_sentence_is_in_any_span(observed: Observed) -> None:
    told = "\n".join(f"{span.name} {span.error} {span.attributes}" for span in observed.traces.spans)
    for secret in {request.phone_number for request in observed.wanted} | observed.spoken:
        assert secret not in told


def test_without_an_endpoint_no_sdk_is_imported() -> None:
    found = "import sys; print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    ended = subprocess.run([sys.executable, "-c", f"{ALL_SERVICES}\n{found}"], capture_output=True, text=True)
    assert ended.stdout.strip() == "[]", ended.stderr


def test_the_campaign_has_people_to_speak_of(observed: Observed) -> None:
    assert len(observed.spoken) > len(observed.wanted), "else the tests for silence prove nothing"


async def test_with_traces_off_the_trace_that_a_message_came_with_is_passed_on(calls: EventLog) -> None:
    came = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    cause = (await calls.append(EXAMPLES["call.created"])).envelope.model_copy(update={"traceparent": came})
    await calls.append(EXAMPLES["speech.heard"], cause=cause)
    heard = await calls.last(SpeechHeard.subjects())
    assert heard
    assert heard.envelope.traceparent == came


def test_of_an_error_a_span_keeps_the_type_and_never_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(tracing, "TRACER", provider.get_tracer("test"))
    monkeypatch.setattr(tracing, "on", lambda: True)
    with pytest.raises(ValueError, match="Ada"), tracing.span("ask", tracing.ASK):
        raise ValueError("Ada is not at +12125550123") from TimeoutError("nor Grace")
    (span,) = kept.get_finished_spans()
    assert span.status.description == "ValueError from TimeoutError"
    assert "Ada" not in span.to_json()
    assert "Grace" not in span.to_json()
