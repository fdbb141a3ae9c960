"""Reading a message from the leader of a stream (``STREAM.MSG.GET`` of JetStream's API)."""

import json
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime

from nats.aio.client import Client

from chassis.direct_get import StoredMessage
from chassis.request_reply import request_json
from contracts.accounts import api_subject
from contracts.envelope import first_stored_at


async def get_newest_of_leader(client: Client, stream: str, filter: str) -> StoredMessage:
    """Returns the newest message on a filter. Raises an error of nats-py; NotFoundError if there is none.

    ``get_last_msg`` of nats-py parses the headers as those of an e-mail, which takes longer than all else.
    """
    return await _get(client, stream, {"last_by_subj": filter})


async def get_of_leader(client: Client, stream: str, sequence: int) -> StoredMessage:
    """Returns the message at a sequence. Raises an error of nats-py; NotFoundError if there is none."""
    return await _get(client, stream, {"seq": sequence})


async def _get(client: Client, stream: str, query: Mapping[str, object]) -> StoredMessage:
    subject = api_subject("STREAM.MSG.GET", stream)
    message = (await request_json(client, subject, json.dumps(query).encode()))["message"]
    headers = _headers(b64decode(message.get("hdrs", "")))
    return StoredMessage(
        subject=message["subject"],
        seq=message["seq"],
        data=b64decode(message.get("data", "")),
        headers=headers,
        stream=stream,
        time=first_stored_at(headers, datetime.fromisoformat(message["time"])),
    )


def _headers(block: bytes) -> dict[str, str]:
    """Returns the headers of a stored message. Its first line is the version of the protocol."""
    lines = (line.partition(":") for line in block.decode(errors="replace").split("\r\n")[1:])
    return {name.strip(): value.strip() for name, separator, value in lines if separator}
