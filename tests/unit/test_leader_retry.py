"""A request is repeated while it gets no answer, and only then."""

import pytest
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NoAnswer
from nats.js.errors import BadRequestError, NoStreamResponseError, NotFoundError, ServiceUnavailableError

from chassis import leader_retry
from chassis.leader_retry import retry_until_leader


class Server:
    """Raises its errors in order, and then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.requests = 0

    async def answer(self) -> str:
        self.requests += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader_retry, "_PAUSE_SECONDS", 0.0)


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
async def test_a_request_without_an_answer_is_repeated(error: Exception) -> None:
    server = Server(error, error)
    assert await retry_until_leader(server.answer) == "answer"
    assert server.requests == 3


@pytest.mark.parametrize(
    "error",
    [BadRequestError(code=400, err_code=10071), NotFoundError(code=404, err_code=10037), ValueError()],
    ids=repr,
)
async def test_any_other_error_is_raised_at_once(error: Exception) -> None:
    server = Server(error)
    with pytest.raises(type(error)):
        await retry_until_leader(server.answer)
    assert server.requests == 1


async def test_the_last_error_is_raised_when_no_leader_is_elected_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader_retry, "MAX_ELECTION_SECONDS", 0.0)
    server = Server(*[NoStreamResponseError()] * 1_000_000)
    with pytest.raises(NoStreamResponseError):
        await retry_until_leader(server.answer)


async def test_a_message_for_a_full_stream_is_not_sent_again() -> None:
    server = Server(ServiceUnavailableError(code=503, err_code=10077, description="maximum bytes exceeded"))
    with pytest.raises(ServiceUnavailableError):
        await retry_until_leader(server.answer)
    assert server.requests == 1
