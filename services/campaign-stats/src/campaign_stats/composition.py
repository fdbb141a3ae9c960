"""The composition root: MongoDB, the follower of the log, the query, the gauges and the HTTP application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from nats.aio.client import Client
from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from campaign_stats.queries import build_router
from campaign_stats.settings import Settings
from campaign_stats.store import Store, connect
from campaign_stats.subscriber import Follower
from campaign_stats.watch import watch
from chassis.background import cancel_until_done
from chassis.serve import Bus, operations


@asynccontextmanager
async def build(settings: Settings, bus: Bus) -> AsyncIterator[ASGIApp]:
    """Follows the log while the context is open. MongoDB may become available later."""
    client = connect(settings.mongo_url.get_secret_value())
    store = Store(client, settings.mongo_database)
    follower = Follower(bus.client, store)
    bus.broker.include_router(build_router(store))
    running = (store.writers.send_heartbeats(), follower.run(), watch(bus.client, store))
    tasks = [asyncio.create_task(work) for work in running]
    for task in tasks:
        bus.before_drain.push_async_callback(cancel_until_done, task)
    try:
        # The first route that matches is used: this readiness includes the projection.
        yield Starlette(routes=[_readiness(bus.client, follower), *operations(bus.client)])
    finally:
        for task in tasks:
            await cancel_until_done(task)
        with suppress(PyMongoError):
            await store.writers.unregister()
        await client.close()


def _readiness(client: Client, follower: Follower) -> Route:
    async def ready(_: Request) -> Response:
        trouble = follower.trouble if client.is_connected else "no connection to NATS"
        if trouble is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": trouble}, status_code=503)

    return Route("/health/ready", ready)
