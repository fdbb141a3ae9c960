"""The error documents of the three vendors, as their documentation and SDKs define them."""

from collections.abc import Callable, Mapping

from pydantic import JsonValue

TWILIO_CODES: Mapping[int, tuple[int, str]] = {
    400: (21201, "Invalid request"),
    401: (20003, "Authenticate"),
    403: (20006, "Access Denied"),
    404: (20404, "The requested resource was not found"),
    429: (20429, "Too Many Requests"),
    500: (20500, "Internal Server Error"),
    503: (20503, "Service Unavailable"),
}
ELEVENLABS_STATUSES: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "The request is invalid."),
    401: ("invalid_api_key", "Invalid API key"),
    404: ("not_found", "The requested resource was not found."),
    429: ("too_many_concurrent_requests", "Too many concurrent requests."),
    500: ("internal_server_error", "Something went wrong."),
    503: ("system_busy", "The system is experiencing heavy traffic, please try again."),
}
OPENAI_TYPES: Mapping[int, tuple[str, str | None, str]] = {
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    404: ("invalid_request_error", "not_found", "The requested resource was not found."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}


def twilio_error(status: int, code: int | None = None, message: str | None = None) -> dict[str, JsonValue]:
    """Returns Twilio's error document: code, message, more_info and status."""
    known_code, known_message = TWILIO_CODES.get(status, (20500, "Internal Server Error"))
    code = code or known_code
    return {
        "code": code,
        "message": message or known_message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }


def elevenlabs_error(status: int, name: str | None = None, message: str | None = None) -> dict[str, JsonValue]:
    """Returns ElevenLabs' error document: a `detail` with a status and a message (for 422 it is a list instead)."""
    known_name, known_message = ELEVENLABS_STATUSES.get(status, ("error", "The request failed."))
    return {"detail": {"status": name or known_name, "message": message or known_message}}


def openai_error(
    status: int, message: str | None = None, *, param: str | None = None, code: str | None = None
) -> dict[str, JsonValue]:
    """Returns OpenAI's error document: an `error` with message, type, param and code."""
    known_type, known_code, known_message = OPENAI_TYPES.get(
        status, ("invalid_request_error", None, "The request is invalid.")
    )
    return {
        "error": {
            "message": message or known_message,
            "type": known_type,
            "param": param,
            "code": code or known_code,
        }
    }


def error_body(vendor: str, status: int) -> dict[str, JsonValue]:
    """Returns the vendor's default error document for an HTTP status."""
    builders: Mapping[str, Callable[[int], dict[str, JsonValue]]] = {
        "twilio": twilio_error,
        "elevenlabs": elevenlabs_error,
        "openai": openai_error,
    }
    return builders[vendor](status)
