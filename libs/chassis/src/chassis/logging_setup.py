"""One JSON object a line on standard output: ids and numbers, never a phone number or a transcript."""

import logging
import sys

import structlog


def configure(service: str, level: str) -> None:
    """Sets structlog up for this process; the standard library's loggers come out in the same form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        lambda _, __, line: {"service": service, **line},  # not bound: other threads have contexts of their own
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
    # These print URLs and addresses of every request: numbers stand in Twilio's.
    for chatty in ("httpx", "httpx2", "httpcore", "twilio", "aiohttp", "uvicorn.access", "nats"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
