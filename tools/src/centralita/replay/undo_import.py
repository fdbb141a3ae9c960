"""Takes an import back: exactly its own messages, also those whose acknowledgement never came, are removed again.

What this connection sent last may still be on its way into the stream when somebody looks what stands there. A stream
takes in order what a connection sends, so a message that it must refuse is sent first: once that is refused, everything
before it is stored, or refused too. Then what has the import's mark is removed, until nothing is found that has it.
"""

import asyncio
from collections.abc import Mapping

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import BadRequestError, NotFoundError

from centralita.replay.marks import TARGETS, marked
from centralita.replay.messages import STREAMS
from centralita.replay.reading import Incomplete

TOGETHER = 64
PAUSE_SECONDS = 0.5
_ANOTHER_STREAM_IS_EXPECTED = 10060


async def take_back(
    client: Client, import_id: str, *, after: Mapping[str, int] | None = None, patience: float = 0
) -> int:
    """Removes what stands of an import, and says how many messages: none of it is there when this returns.

    `after`: the sequence of each stream after which it began; `patience`: seconds for a server that is coming back.
    Raises nats.errors.Error, OSError, Incomplete.
    """
    loop = asyncio.get_running_loop()
    removed, until = 0, loop.time() + patience
    while True:
        try:
            found = sum([await _removed(client, name, import_id, (after or {}).get(name, 0)) for name in TARGETS])
        except (NatsError, OSError, Incomplete):
            if client.is_closed or loop.time() > until:
                raise
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            if not found:
                return removed
            removed += found


async def _removed(client: Client, stream: str, import_id: str, after: int) -> int:
    js = client.jetstream()
    try:
        await js.stream_info(stream)
    except NotFoundError:
        return 0
    await settled(js, stream)
    sequences = await marked(client, stream, import_id, after)
    if sequences and (await js.stream_info(stream)).state.messages == len(sequences):  # it holds nothing else
        await js.purge_stream(stream, seq=sequences[-1] + 1)
        return len(sequences)
    for first in range(0, len(sequences), TOGETHER):
        await asyncio.gather(*(js.delete_msg(stream, one) for one in sequences[first : first + TOGETHER]))
    return len(sequences)


async def settled(js: JetStreamContext, stream: str) -> None:
    """Returns when the stream has stored or refused whatever this connection has sent to it before."""
    subject = STREAMS[stream].subjects[-1].replace("*", "nothing")
    try:
        await js.publish(subject, stream="nothing")
    except BadRequestError as error:
        if error.err_code != _ANOTHER_STREAM_IS_EXPECTED:
            raise
