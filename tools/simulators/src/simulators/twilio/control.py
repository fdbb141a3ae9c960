"""The control routes on the Twilio port, for tests and the demo: ledger, faults, callees, reset.

They need no credential: serve them on loopback only.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.faults import CONTROL_PREFIX, FaultPlan, FaultRule
from simulators.twilio.account import Account
from simulators.twilio.callee_sounds import CalleeSettings
from simulators.twilio.callees import Behaviour
from simulators.twilio.status_callbacks import CallbackFaults
from simulators.twilio.stream_faults import StreamFaults

_RULES = TypeAdapter(list[FaultRule])


class CalleeOverride(BaseModel):
    """The behaviour of a number in its next calls: one for all, or one for each in order. `settings` are for all."""

    model_config = ConfigDict(extra="forbid")

    behaviour: Behaviour | None = None
    behaviours: Annotated[list[Behaviour], Field(min_length=1)] | None = None
    settings: CalleeSettings | None = None

    @model_validator(mode="after")
    def _at_most_one(self) -> "CalleeOverride":
        if self.behaviour is None and self.behaviours is None and self.settings is not None:
            return self
        if (self.behaviour is None) == (self.behaviours is None):
            raise ValueError("set either behaviour or behaviours")
        return self

    @property
    def in_order(self) -> list[Behaviour]:
        """The behaviours of the next calls, in order."""
        return self.behaviours or ([self.behaviour] if self.behaviour is not None else [])


class Control:
    """The control routes of one account. An invalid body is answered with 422 and the reasons."""

    def __init__(self, account: Account, faults: FaultPlan | None) -> None:
        self._account, self._faults = account, faults

    def routes(self) -> list[Route]:
        """Returns the routes below the control prefix."""
        return [
            Route(f"{CONTROL_PREFIX}/ledger", self.ledger, methods=["GET"]),
            Route(f"{CONTROL_PREFIX}/faults", self.set_faults, methods=["PUT"]),
            Route(f"{CONTROL_PREFIX}/callees/{{number}}", self.set_callee, methods=["PUT"]),
            Route(f"{CONTROL_PREFIX}/callbacks", self.set_callback_faults, methods=["PUT"]),
            Route(f"{CONTROL_PREFIX}/streams", self.set_stream_faults, methods=["PUT"]),
            Route(CONTROL_PREFIX, self.reset, methods=["DELETE"]),
        ]

    async def ledger(self, request: Request) -> Response:
        """Returns every call that was dialled and every create request that was refused."""
        ledger = self._account.ledger
        refused = [{"to": refusal.to, "code": refusal.code, "at": refusal.at} for refusal in ledger.refused]
        return JSONResponse({"calls": ledger.as_json(), "refused": refused})

    async def set_faults(self, request: Request) -> Response:
        """Replaces the fault rules of all three vendors. Answers 404 if the simulator runs without a fault plan."""
        if self._faults is None:
            return Response(status_code=404)
        try:
            self._faults.rules = tuple(_RULES.validate_json(await request.body()))
        except ValidationError as error:
            return _unprocessable(error)
        return Response(status_code=204)

    async def set_callee(self, request: Request) -> Response:
        """Sets the behaviours and settings of a number's next calls and resets its count of calls."""
        try:
            override = CalleeOverride.model_validate_json(await request.body())
        except ValidationError as error:
            return _unprocessable(error)
        self._account.population.override(request.path_params["number"], override.in_order, override.settings)
        return Response(status_code=204)

    async def set_callback_faults(self, request: Request) -> Response:
        """Replaces the faults of status callbacks, also for calls in progress."""
        try:
            self._account.callback_faults = CallbackFaults.model_validate_json(await request.body())
        except ValidationError as error:
            return _unprocessable(error)
        return Response(status_code=204)

    async def set_stream_faults(self, request: Request) -> Response:
        """Replaces the faults of media streams, for streams that open from now on."""
        try:
            self._account.streams.faults = StreamFaults.model_validate_json(await request.body())
        except ValidationError as error:
            return _unprocessable(error)
        return Response(status_code=204)

    async def reset(self, request: Request) -> Response:
        """Stops all calls and clears the ledger, the callees' overrides, and all faults."""
        await self._account.reset()
        if self._faults is not None:
            self._faults.rules = ()
        return Response(status_code=204)


def _unprocessable(error: ValidationError) -> Response:
    detail = error.errors(include_url=False, include_context=False, include_input=False)
    return JSONResponse({"detail": detail}, status_code=422)
