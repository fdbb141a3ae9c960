"""A request with personal data."""

from contracts import CallRequested

NUMBER = "+12125550123"


def request(request_id: str, number: str = NUMBER, **fields: object) -> CallRequested:
    """Returns a valid request. `fields`: those that differ."""
    given: dict[str, object] = {
        "request_id": request_id,
        "campaign_id": "spring",
        "contact_id": "c-1",
        "phone_number": number,
        "script_template": "Hello {{name}}.",
        "variables": {"name": "Ana Belén"},
        "language": "en",
        "max_retries": 0,
        **fields,
    }
    return CallRequested.model_validate(given)
