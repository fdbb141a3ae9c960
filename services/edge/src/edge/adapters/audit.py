"""The stream AUDIT: entries go to its end, and are read in pages."""

import json
from datetime import datetime

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from prometheus_client import Counter
from pydantic import ValidationError

from chassis.leader_retry import REQUEST_TIMEOUT_SECONDS, retry_until_leader
from contracts.audit import AuditEntry, Stage
from contracts.streams import AUDIT
from edge.adapters.bus import translated
from edge.ports import Unavailable, Written, WrittenPage

ANSWER_SECONDS = 5.0
END_OF_BATCH, NOTHING = "204", "404"
ENTRIES = Counter("centralita_audit_entries_total", "Entries of the audit, by what they say of their act", ["stage"])
for _stage in Stage:
    ENTRIES.labels(stage=_stage)


class BusAudit:
    """`edge.ports.Audit` over NATS."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def append(self, entry: AuditEntry) -> None:
        """See the port. ``Nats-Expected-Stream`` makes sure that it is the audit that has it."""
        body = entry.model_dump_json(exclude_none=True).encode()
        headers = {"Nats-Msg-Id": f"{entry.act_id}/{entry.stage}"}
        async with translated(self._client, "the audit cannot be written"):
            js = self._client.jetstream(timeout=REQUEST_TIMEOUT_SECONDS)
            await retry_until_leader(lambda: js.publish(entry.subject, body, stream=AUDIT.name, headers=headers))
        ENTRIES.labels(stage=entry.stage).inc()

    async def page(self, *, since: datetime | None, after: int, limit: int, subject: str) -> WrittenPage:
        """See the port. One batched direct get (ADR-31 of nats-architecture-and-design)."""
        query: dict[str, object] = {"batch": limit, "next_by_subj": subject}
        if since and not after:
            query["start_time"] = since.isoformat()
        else:
            query["seq"] = after + 1
        async with translated(self._client, "the audit cannot be read"):
            inbox = self._client.new_inbox()
            answers = await self._client.subscribe(inbox)
            try:
                await self._client.publish(f"$JS.API.DIRECT.GET.{AUDIT.name}", json.dumps(query).encode(), reply=inbox)
                return await _page(answers)
            finally:
                await answers.unsubscribe()


async def _page(answers: Subscription) -> WrittenPage:
    written: list[Written] = []
    while True:
        message = await answers.next_msg(timeout=ANSWER_SECONDS)
        headers = message.headers or {}
        status = headers.get("Status")
        if status == END_OF_BATCH:
            return WrittenPage(written, more=int(headers.get("Nats-Num-Pending", "0")) > 0)
        if status == NOTHING:
            return WrittenPage(written, more=False)
        if status:
            raise Unavailable(f"the audit cannot be read: NATS says {status}")
        written.append(_written(message, headers))


def _written(message: Msg, headers: dict[str, str]) -> Written:
    sequence = int(headers["Nats-Sequence"])
    try:
        return Written(sequence, AuditEntry.model_validate_json(message.data))
    except ValidationError as error:
        raise Unavailable(f"the audit cannot be read: entry {sequence} is none of ours") from error
