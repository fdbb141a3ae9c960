"""One call is one trace, from the request on the bus to the last event in MongoDB."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.observability.conftest import Observed

from centralita.monitoring.spans import Span
from centralita.monitoring.trace import is_complete, traced_call
from chassis import tracing
from chassis.event_log import EventLog
from contracts import SpeechHeard
from contracts.examples import EXAMPLES

ALL_SERVICES = "import call_orchestrator.composition, voice.composition, conversation.composition, edge.composition"


def _parent_of(span: Span, spans: list[Span]) -> Span | None:
    return next((other for other in spans if other.span_id == span.parent_id), None)


async def test_the_trace_of_a_request_includes_every_service_and_vendor(tmp_path: Path) -> None:
    call_id, trace_id, receiver = await traced_call(tmp_path / "run")
    spans = receiver.trace_of(call_id)
    assert is_complete(spans)
    assert {span.trace_id for span in spans} == {trace_id}, "the trace id of the request"
    names = {(span.service, span.name) for span in spans}
    assert names >= {
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
    roots = [span for span in spans if _parent_of(span, spans) is None]
    assert [root.name for root in roots] == ["process orchestrator-requests"], (
        "the span of the upstream system is not in our traces"
    )


def test_each_call_of_a_campaign_has_its_own_trace(observed: Observed) -> None:
    traces = [{span.trace_id for span in observed.traces.trace_of(call_id)} for call_id in observed.call_ids]
    assert all(len(trace) == 1 for trace in traces)
    assert len(set().union(*traces)) == len(observed.call_ids)


def test_no_number_and_no_spoken_sentence_is_in_any_span(observed: Observed) -> None:
    text = "\n".join(f"{span.name} {span.error} {span.attributes}" for span in observed.traces.spans)
    for secret in {request.phone_number for request in observed.requests} | observed.spoken:
        assert secret not in text


def test_without_an_endpoint_no_sdk_is_imported() -> None:
    script = "import sys; print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    completed = subprocess.run([sys.executable, "-c", f"{ALL_SERVICES}\n{script}"], capture_output=True, text=True)
    assert completed.stdout.strip() == "[]", completed.stderr


def test_the_campaign_has_conversations(observed: Observed) -> None:
    assert len(observed.spoken) > len(observed.requests), "without spoken text, the tests for absent text cannot fail"


async def test_without_traces_the_trace_of_a_message_is_passed_on(calls: EventLog) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    created = await calls.append(EXAMPLES["call.created"])
    cause = replace(created.envelope, traceparent=traceparent)
    await calls.append(EXAMPLES["speech.heard"], cause=cause)
    stored = await calls.last(SpeechHeard.subjects())
    assert stored
    assert stored.envelope.traceparent == traceparent


def test_a_span_contains_the_type_of_an_error_and_never_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "TRACER", provider.get_tracer("test"))
    monkeypatch.setattr(tracing, "is_enabled", lambda: True)
    with pytest.raises(ValueError, match="Ada"), tracing.span("ask", tracing.ASK):
        raise ValueError("Ada is not at +12125550123") from TimeoutError("nor Grace")
    (span,) = exporter.get_finished_spans()
    assert span.status.description == "ValueError from TimeoutError"
    assert "Ada" not in span.to_json()
    assert "Grace" not in span.to_json()
