"""One trace a call: W3C trace context in NATS headers, spans sent by OTLP if there is somebody to send them to.

Spans are made here and not by FastStream's middleware or the HTTP clients' instrumentations: those put call ids into
span names, and errors' messages and whole URLs, in which numbers and words stand, into attributes. Without an endpoint
no SDK is imported and no span made: what a message came in with is passed on by `contracts.Envelope`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bound_contextvars

from contracts import Envelope

PUBLISH, PROCESS, SERVE, ASK = (trace.SpanKind[kind] for kind in ("PRODUCER", "CONSUMER", "SERVER", "CLIENT"))
TRACER = trace.get_tracer("centralita")
_W3C = TraceContextTextMapPropagator()


def start(service: str, endpoint: str) -> Callable[[], None]:
    """Sends this process's spans to ``<endpoint>/v1/traces`` from now on; the result sends the last ones and ends it.

    Sampling, batches and headers are as the SDK reads them from the environment (``OTEL_…``).
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider, export

    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def on() -> bool:
    """Whether spans are made in this process."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def carried(envelope: Envelope) -> Envelope:
    """The envelope with the current span in it, if there is one: what follows from it hangs under that span."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return envelope.model_copy(update={"traceparent": carrier["traceparent"]}) if carrier else envelope


def after(parent: str | None) -> Context | None:
    """Where a span belongs that goes on with `parent`: under it, or under the current span if that is of its trace."""
    given = _W3C.extract({"traceparent": parent} if parent else {}, Context())
    theirs, here = (trace.get_current_span(context).get_span_context() for context in (given, None))
    return given if theirs.is_valid and theirs.trace_id != here.trace_id else None


@contextmanager
def span(name: str, kind: trace.SpanKind, parent: str | None = None, **attributes: str | int) -> Iterator[None]:
    """A span around what is done inside. Of an error that leaves it the type is kept, and never the message."""
    if not on():
        yield
        return
    begun = TRACER.start_span(name, after(parent), kind, attributes)
    trace_id = trace.format_trace_id(begun.get_span_context().trace_id)
    with trace.use_span(begun, True, False, False), bound_contextvars(trace_id=trace_id):
        try:
            yield
        except Exception as error:
            begun.set_status(trace.StatusCode.ERROR, _name(error))
            raise


def _name(error: BaseException) -> str:
    """The types of an error and of what it came from: ``NackMessage from TimeoutError``."""
    return type(error).__name__ + (f" from {_name(error.__cause__)}" if error.__cause__ else "")
