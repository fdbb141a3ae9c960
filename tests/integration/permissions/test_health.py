"""The edge examines the installation without reading a message, and a service answers only for itself."""

from typing import TYPE_CHECKING

import pytest

from chassis.findings import Result
from chassis.service_checks import AREA, SERVICES
from chassis.service_status import answer_status, collect_statuses
from contracts import Service
from contracts.permissions import OPERATOR
from contracts.service_status import ALL_STATUSES, STATUS_REQUEST, status_subject
from edge.adapters.system_health import NatsInstallation

if TYPE_CHECKING:
    from tests.integration.permissions.conftest import Connect


async def test_the_edge_may_examine_everything_and_each_service_may_answer(connect: "Connect") -> None:
    connections = [await connect(service) for service in SERVICES]
    for connection, service in zip(connections, SERVICES, strict=True):
        await answer_status(connection.client, service)
        await connection.client.flush()
    edge = connections[SERVICES.index(Service.EDGE)]

    health = await NatsInstallation(edge.client).examine()
    while len({one.service for one in health.services}) < len(SERVICES):  # a busy process may answer too late
        health = await NatsInstallation(edge.client).examine()

    assert [connection.refused for connection in connections] == [[] for _ in SERVICES]
    assert {one.service for one in health.services} == {*SERVICES}
    assert {one.result for one in health.findings if one.area == AREA} == {Result.OK}
    assert [one for one in health.findings if "could not be read" in one.found] == []
    [permissions] = [one for one in health.findings if one.check == "permissions"]
    assert permissions.result is Result.OK


async def test_the_operator_asks_for_statuses_and_answers_for_no_service(connect: "Connect") -> None:
    connection, service = await connect(OPERATOR), await connect(Service.VOICE)
    await answer_status(service.client, Service.VOICE)
    await service.client.flush()

    while not (found := await collect_statuses(connection.client)):  # a busy process may answer too late
        pass
    assert [one.service for one in found] == [Service.VOICE]
    assert connection.refused == []
    answers = [status_subject(service) for service in SERVICES]
    assert await connection.refused_publishes(*answers) == answers


@pytest.mark.parametrize("user", [*(one for one in SERVICES if one != Service.EDGE), Service.UPSTREAM])
async def test_no_other_user_asks_for_statuses_or_answers_for_another(user: str, connect: "Connect") -> None:
    connection = await connect(user)
    others = [status_subject(service) for service in SERVICES if service != user]

    assert await connection.refused_publishes(STATUS_REQUEST, *others) == [STATUS_REQUEST, *others]


@pytest.mark.parametrize("user", [*(one for one in SERVICES if one != Service.EDGE), Service.UPSTREAM])
async def test_no_other_service_reads_the_answers(user: str, connect: "Connect") -> None:
    connection = await connect(user)

    assert await connection.refused_subscriptions(ALL_STATUSES) == [ALL_STATUSES]
