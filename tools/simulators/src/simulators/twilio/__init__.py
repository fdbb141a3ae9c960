"""Twilio's REST API for calls and the calls themselves: status callbacks, TwiML, callees."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from simulators.faults import FaultPlan
from simulators.twilio.account import Account
from simulators.twilio.control import Control
from simulators.twilio.rest import RestApi, not_found
from simulators.twilio.stream_settings import StreamSettings


def create_app(
    *,
    account_sid: str,
    auth_token: str,
    seed: int = 1,
    speed: float = 1.0,
    behaviours: Mapping[str, float] | None = None,
    faults: FaultPlan | None = None,
    calls_per_second: float = 1.0,
    streams: StreamSettings | None = None,
) -> Starlette:
    """Returns the app; its lifespan ends all calls. `app.state.ledger` is the Ledger.

    `speed` is the number of simulated seconds per real second. `behaviours` are weights by name (the default population
    if None). `faults` is the plan that the control route replaces. `calls_per_second`, in simulated time, is the
    account's dialling rate: calls created faster stay queued. `streams` are the settings of media streams. Raises
    ValueError for an unknown behaviour, a negative weight, or a speed that is not positive.
    """
    if speed <= 0 or calls_per_second <= 0:
        raise ValueError("speed and calls_per_second must be positive")
    account = Account(
        account_sid=account_sid,
        auth_token=auth_token,
        seed=seed,
        speed=speed,
        behaviours=behaviours,
        calls_per_second=calls_per_second,
        streams=streams,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await account.aclose()

    routes = [*RestApi(account, auth_token).routes(), *Control(account, faults).routes()]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: not_found})
    app.state.ledger = account.ledger
    return app
