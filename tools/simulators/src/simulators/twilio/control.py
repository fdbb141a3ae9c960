"""Control routes on the Twilio port: the ledger, faults, callees, callback faults, reset. Loopback only."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.faults import CONTROL_PREFIX, FaultPlan, FaultRule
from simulators.twilio.account import Exchange
from simulators.twilio.callees import Behaviour
from simulators.twilio.status_callbacks import CallbackFaults

_RULES = TypeAdapter(list[FaultRule])


class CalleeOverride(BaseModel):
    """How a number meets its next dials: one behaviour for all, or one for each in order."""

    model_config = ConfigDict(extra="forbid")

    behaviour: Behaviour | None = None
    behaviours: Annotated[list[Behaviour], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "CalleeOverride":
        if (self.behaviour is None) == (self.behaviours is None):
            raise ValueError("give either behaviour or behaviours")
        return self

    @property
    def in_order(self) -> list[Behaviour]:
        """The behaviours of the coming dials."""
        return self.behaviours or ([self.behaviour] if self.behaviour is not None else [])


class Control:
    """What a test or a demo may look at and change. Answers 422 with the reasons to a wrong body."""

    def __init__(self, exchange: Exchange, faults: FaultPlan | None) -> None:
        self._exchange, self._faults = exchange, faults

    def routes(self) -> list[Route]:
        """The routes under the control prefix."""
        return [
            Route(f"{CONTROL_PREFIX}/ledger", self.ledger, methods=["GET"]),
            Route(f"{CONTROL_PREFIX}/faults", self.set_faults, methods=["PUT"]),
            Route(f"{CONTROL_PREFIX}/callees/{{number}}", self.set_callee, methods=["PUT"]),
            Route(f"{CONTROL_PREFIX}/callbacks", self.set_callback_faults, methods=["PUT"]),
            Route(CONTROL_PREFIX, self.reset, methods=["DELETE"]),
        ]

    async def ledger(self, request: Request) -> Response:
        """Every call that was dialled, and every create that was refused."""
        ledger = self._exchange.ledger
        refused = [{"to": one.to, "code": one.code, "at": one.at} for one in ledger.refused]
        return JSONResponse({"calls": ledger.as_json(), "refused": refused})

    async def set_faults(self, request: Request) -> Response:
        """Replace the fault rules of all three vendors. 404 where no plan is in force."""
        if self._faults is None:
            return Response(status_code=404)
        try:
            self._faults.rules = tuple(_RULES.validate_json(await request.body()))
        except ValidationError as error:
            return _invalid(error)
        return Response(status_code=204)

    async def set_callee(self, request: Request) -> Response:
        """Decide how a number meets its next dials; the count of its dials begins again."""
        try:
            override = CalleeOverride.model_validate_json(await request.body())
        except ValidationError as error:
            return _invalid(error)
        self._exchange.population.override(request.path_params["number"], override.in_order)
        return Response(status_code=204)

    async def set_callback_faults(self, request: Request) -> Response:
        """Replace the faults of status callbacks, for calls that live already too."""
        try:
            self._exchange.callback_faults = CallbackFaults.model_validate_json(await request.body())
        except ValidationError as error:
            return _invalid(error)
        return Response(status_code=204)

    async def reset(self, request: Request) -> Response:
        """Stop all calls, empty the ledger, and clear callees, callback faults and fault rules."""
        await self._exchange.reset()
        if self._faults is not None:
            self._faults.rules = ()
        return Response(status_code=204)


def _invalid(error: ValidationError) -> Response:
    detail = error.errors(include_url=False, include_context=False, include_input=False)
    return JSONResponse({"detail": detail}, status_code=422)
