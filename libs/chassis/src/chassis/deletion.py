"""Deleting single messages of a stream (``STREAM.MSG.DELETE`` of JetStream's API)."""

import json

from nats.aio.client import Client
from nats.js.errors import APIError, NotFoundError

from chassis.leader_get import get_of_leader
from chassis.leader_retry import retry_until_leader
from chassis.request_reply import request_json
from contracts.accounts import api_subject


async def delete_message(client: Client, stream: str, sequence: int) -> None:
    """Deletes a message. Has no effect if it no longer exists. Raises an error of nats-py.

    Its bytes stay in the file of the stream until the server compacts that.
    """
    await _delete(client, stream, sequence, is_overwritten=False)


async def erase_message(client: Client, stream: str, sequence: int) -> None:
    """As `delete_message`, and its bytes are in no file of the stream afterwards.

    The server writes the file again, up to 8 MB, and syncs it (``eraseMsg`` in its ``filestore.go``): 1 to 12 ms. It
    handles no other message of the connection meanwhile.
    """
    await _delete(client, stream, sequence, is_overwritten=True)


async def _delete(client: Client, stream: str, sequence: int, *, is_overwritten: bool) -> None:
    subject = api_subject("STREAM.MSG.DELETE", stream)
    body = json.dumps({"seq": sequence, "no_erase": not is_overwritten}).encode()
    try:
        await retry_until_leader(lambda: request_json(client, subject, body))
    except APIError:  # the server has several errors for a message that does not exist
        if await _exists(client, stream, sequence):
            raise


async def _exists(client: Client, stream: str, sequence: int) -> bool:
    try:
        await retry_until_leader(lambda: get_of_leader(client, stream, sequence))
    except NotFoundError:
        return False
    return True
