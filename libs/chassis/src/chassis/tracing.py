"""One trace per call: W3C trace context in NATS headers, and spans that are exported by OTLP if an endpoint is set.

The spans of FastStream's middleware and of the HTTP clients' instrumentations are not used. They put call ids into
span names. Their attributes contain error texts and URLs, and these contain phone numbers and transcripts.

Without an endpoint the SDK is not imported and no span is made; `contracts.Envelope` then passes on the trace context
that came in.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bound_contextvars

from contracts import Envelope

PUBLISH, PROCESS, SERVE, ASK = (trace.SpanKind[kind] for kind in ("PRODUCER", "CONSUMER", "SERVER", "CLIENT"))
TRACER = trace.get_tracer("centralita")
_W3C = TraceContextTextMapPropagator()
_exporting: list[trace.TracerProvider] = []
"""The provider of this process. OpenTelemetry reads the environment each time it is asked for one that is not set."""


def start(service: str, endpoint: str) -> Callable[[], None]:
    """Starts exporting spans to ``<endpoint>/v1/traces``; returns a function that exports the last ones and stops.

    The SDK reads sampling, batching and headers from the environment (``OTEL_…``).
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider, export

    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _exporting.append(provider)
    return provider.shutdown


def is_enabled() -> bool:
    """Whether spans are made in this process."""
    return bool(_exporting)


def with_current_span(envelope: Envelope) -> Envelope:
    """Returns the envelope with the current span as trace context, or the envelope itself if there is no span."""
    if not is_enabled():
        return envelope
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return replace(envelope, traceparent=carrier["traceparent"]) if carrier else envelope


def parent_context(traceparent: str | None) -> Context | None:
    """Returns the parent context of a new span: that of `traceparent`, or None to use the current span.

    Also returns None if the current span is part of the trace of `traceparent`.
    """
    remote = _W3C.extract({"traceparent": traceparent} if traceparent else {}, Context())
    remote_span, current_span = (trace.get_current_span(context).get_span_context() for context in (remote, None))
    return remote if remote_span.is_valid and remote_span.trace_id != current_span.trace_id else None


@contextmanager
def span(name: str, kind: trace.SpanKind, traceparent: str | None = None, **attributes: str | int) -> Iterator[None]:
    """Makes a span around the block. If an error leaves the block, the span records its type but not its text."""
    if not is_enabled():
        yield
        return
    started = TRACER.start_span(name, parent_context(traceparent), kind, attributes)
    trace_id = trace.format_trace_id(started.get_span_context().trace_id)
    with trace.use_span(started, True, False, False), bound_contextvars(trace_id=trace_id):
        try:
            yield
        except Exception as error:
            started.set_status(trace.StatusCode.ERROR, _type_names(error))
            raise


def _type_names(error: BaseException) -> str:
    """Returns the types of an error and of its causes: ``NackMessage from TimeoutError``."""
    return type(error).__name__ + (f" from {_type_names(error.__cause__)}" if error.__cause__ else "")
