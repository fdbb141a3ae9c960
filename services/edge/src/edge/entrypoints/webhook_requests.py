"""What all routes of webhooks share: the parameters of their paths, their form, and how they are answered."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Path, Request, Response

from chassis.path_numbers import MAX_PATH_NUMBER
from telephony.instructions import ConnectPerson, Instruction
from telephony.provider import Form, WebhookProvider

Attempt = Annotated[int, Path(ge=1, le=MAX_PATH_NUMBER)]
Turn = Annotated[int, Path(ge=1, le=MAX_PATH_NUMBER, description="the callee's turns count from 1")]
FORM_BODY = {
    "requestBody": {
        "description": "the fields that the provider sends",
        "content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}},
    }
}


def form_of(request: Request) -> Form:
    """Returns the form that was parsed and found authentic."""
    form: Form = request.state.form
    return form


def instruction_options(provider: WebhookProvider) -> dict[str, Any]:
    """Returns the options of a route that is answered with an instruction."""
    content = {200: {"description": "The next instruction", "content": {provider.media_type: {}}}}
    return {"response_class": Response, "responses": content, "openapi_extra": FORM_BODY}


def rendering(provider: WebhookProvider) -> Callable[[Instruction, Request], Response]:
    """Returns a function that renders the answer to a webhook. A person is dialled from the number of the line."""

    def render(instruction: Instruction, request: Request) -> Response:
        if isinstance(instruction, ConnectPerson) and instruction.caller_id is None:
            instruction = replace(instruction, caller_id=provider.parse_own_number(form_of(request)))
        return Response(provider.render(instruction), media_type=provider.media_type)

    return render
