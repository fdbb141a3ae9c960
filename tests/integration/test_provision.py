"""Provisioning a server that leaves requests without an answer, as a cluster does while it elects another leader."""

from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import TimeoutError as Unanswered

from centralita.embedded.servers import nats_server
from chassis.bus_checks import check_streams
from chassis.findings import Result
from chassis.jetstream_info import read_info
from chassis.provision import provision


class OnceUnanswered(Client):
    """A client that never receives the first answer to a request; the server carries the request out."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[tuple[str, bytes]] = set()

    async def request(self, subject: str, payload: bytes = b"", *args: Any, **options: Any) -> Msg:
        answer = await super().request(subject, payload, *args, **options)
        if (subject, payload) not in self.asked:
            self.asked.add((subject, payload))
            raise Unanswered
        return answer


async def test_each_request_without_an_answer_is_repeated(tmp_path: Path) -> None:
    client = OnceUnanswered()
    with nats_server(tmp_path) as url:
        await client.connect(url)
        observer = await nats.connect(url)
        try:
            for _ in range(2):
                client.asked.clear()
                await provision(client)
            findings = check_streams(await read_info(observer), 1, {})
        finally:
            await client.close()
            await observer.close()
    assert findings
    assert {finding.result for finding in findings} == {Result.OK}
