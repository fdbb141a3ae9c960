"""Asking again while nobody answers, and only then."""

import pytest
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NoAnswer
from nats.js.errors import BadRequestError, NoStreamResponseError, NotFoundError, ServiceUnavailableError

from chassis import leader_retry as elections
from chassis.leader_retry import retry_until_leader


class Server:
    """Raises what it is told to, in its order, and then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = 0

    async def ask(self) -> str:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elections, "_PAUSE_SECONDS", 0.0)


@pytest.mark.parametrize(
    "error",
    [
        NoRespondersError(),
        NoStreamResponseError(),
        ServiceUnavailableError(code=503, err_code=10008),
        NoAnswer(),
        BadRequestError(code=400, err_code=10164, description="wrong last sequence"),
        BadRequestError(code=400, err_code=10158, description="duplicate message id is in process"),
    ],
    ids=repr,
)
async def test_who_gets_no_answer_yet_asks_again(error: Exception) -> None:
    server = Server(error, error)
    assert await retry_until_leader(server.ask) == "answer"
    assert server.asked == 3


@pytest.mark.parametrize(
    "error",
    [BadRequestError(code=400, err_code=10071), NotFoundError(code=404, err_code=10037), ValueError()],
    ids=repr,
)
async def test_an_answer_is_an_answer(error: Exception) -> None:
    server = Server(error)
    with pytest.raises(type(error)):
        await retry_until_leader(server.ask)
    assert server.asked == 1


async def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elections, "MAX_ELECTION_SECONDS", 0.0)
    server = Server(*[NoStreamResponseError()] * 1_000_000)
    with pytest.raises(NoStreamResponseError):
        await retry_until_leader(server.ask)
