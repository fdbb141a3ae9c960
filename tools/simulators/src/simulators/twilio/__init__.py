"""The Twilio simulator as an application: REST API, control routes, and the calls that live behind them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from simulators.faults import FaultPlan
from simulators.twilio.account import Exchange
from simulators.twilio.control import Control
from simulators.twilio.rest import RestApi, not_found


def create_app(
    *,
    account_sid: str,
    auth_token: str,
    seed: int = 1,
    speed: float = 1.0,
    behaviours: Mapping[str, float] | None = None,
    faults: FaultPlan | None = None,
    calls_per_second: float = 1.0,
) -> Starlette:
    """Make the app; its lifespan ends all calls. `app.state.ledger` is the exchange's Ledger.

    `speed` divides nominal time, `behaviours` are weights by name (the default population if None),
    `faults` is the plan that the control route replaces, `calls_per_second` (nominal) is the account's
    pace: what is created faster stays queued. Raises ValueError for an unknown behaviour, a negative
    weight, or a speed that is not positive.
    """
    if speed <= 0 or calls_per_second <= 0:
        raise ValueError("speed and calls_per_second must be positive")
    exchange = Exchange(
        account_sid=account_sid,
        auth_token=auth_token,
        seed=seed,
        speed=speed,
        behaviours=behaviours,
        calls_per_second=calls_per_second,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await exchange.aclose()

    routes = [*RestApi(exchange, auth_token).routes(), *Control(exchange, faults).routes()]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: not_found})
    app.state.ledger = exchange.ledger
    return app
