"""Hooks of schemathesis, in its own process: signs webhooks as the telephone provider does.

`SIGN_WEBHOOKS` is the provider's secret; without it webhooks have no signature.
"""

import os
from typing import Any
from urllib.parse import parse_qsl

import requests
import schemathesis
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from telephony.provider import Form

PUBLIC_URL = "https://calls.example.com"
FIELDS = {"CallSid": "CA1", "CallStatus": "ringing", "AnsweredBy": "human", "SpeechResult": "Yes."}


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: "schemathesis.Case[Any]", kwargs: dict[str, Any]) -> None:
    """Adds the fields that every webhook has to most forms, and the signature."""
    secret = os.environ.get("SIGN_WEBHOOKS")
    if not secret or not case.path.startswith("/twilio/"):
        return
    if isinstance(case.body, dict) and len(case.body) % 3:
        case.body = {**FIELDS, **case.body}
    request = requests.Request(**case.as_transport_kwargs(base_url="http://edge")).prepare()
    body = request.body if isinstance(request.body, str | bytes) else b""
    form = Form(parse_qsl(body if isinstance(body, str) else body.decode("latin-1"), keep_blank_values=True))
    signature = RequestValidator(secret).compute_signature(PUBLIC_URL + request.path_url, form)
    case.headers["X-Twilio-Signature"] = signature
