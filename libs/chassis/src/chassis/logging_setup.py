"""Log lines: one JSON object per line on standard output, with ids and numbers but no phone number or transcript."""

import logging
import sys

import structlog


def configure(service: str, level: str) -> None:
    """Configures structlog for this process; loggers of the standard library write the same form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        lambda _, __, line: {"service": service, **line},  # not bound: a context variable is not set in other threads
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # These log the URL of each request; those of a telephone provider contain phone numbers.
    for name in ("httpx", "httpx2", "httpcore", "twilio", "aiohttp", "uvicorn.access", "nats"):
        logging.getLogger(name).setLevel(logging.WARNING)
