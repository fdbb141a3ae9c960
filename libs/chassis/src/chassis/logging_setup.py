"""Log lines: one JSON object per line on standard output, with ids and numbers but no phone number or transcript.

Our own lines do not pass through the standard library's `logging`, which costs more than the line itself.
"""

import logging
import sys

import structlog


def configure(service: str, level: str) -> None:
    """Configures structlog for this process; loggers of the standard library write the same form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        lambda _, __, line: {"service": service, **line},  # not bound: a context variable is not set in other threads
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # These log the URL of each request; those of a telephone provider contain phone numbers.
    for name in ("httpx", "httpx2", "httpcore", "twilio", "aiohttp", "uvicorn.access", "nats"):
        logging.getLogger(name).setLevel(logging.WARNING)
