"""The processes of an embedded run can be killed, paused and started again."""

import asyncio
import sys
from pathlib import Path

import nats
import pytest
from pymongo import AsyncMongoClient

from centralita.embedded.processes import SupervisedProcess
from centralita.embedded.servers import CannotStart, nats_server, restartable_mongo_server, restartable_nats_server

COUNT = "import time\nfor number in range(10**6):\n    print(number, flush=True)\n    time.sleep(0.01)"


async def test_a_killed_nats_server_starts_again_with_its_port_and_its_data(tmp_path: Path) -> None:
    with restartable_nats_server(tmp_path) as server:
        url = server.url
        client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        js = client.jetstream()
        await js.add_stream(name="S", subjects=["s"])
        await js.publish("s", b"stored")
        server.kill()
        await asyncio.to_thread(server.start)
        assert server.url == url
        async with asyncio.timeout(60):
            while not client.is_connected:
                await asyncio.sleep(0.05)
        assert (await js.get_last_msg("S", "s")).data == b"stored"
        await client.close()


async def test_a_mongo_server_starts_again_with_its_port_and_its_data(tmp_path: Path) -> None:
    with restartable_mongo_server(tmp_path) as server:
        url = server.url
        async with AsyncMongoClient[dict[str, object]](url) as client:
            await client["d"]["c"].insert_one({"_id": 1})
        server.stop()
        await asyncio.to_thread(server.start)
        server.kill()
        await asyncio.to_thread(server.start)
        assert server.url == url
        async with AsyncMongoClient[dict[str, object]](url) as client:
            assert await client["d"]["c"].find_one() == {"_id": 1}


def test_a_server_whose_port_is_in_use_names_the_reason(tmp_path: Path) -> None:
    with nats_server(tmp_path / "first") as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(CannotStart, match="address already in use"), nats_server(tmp_path / "second", port=port):
            pass


async def test_a_paused_process_does_nothing_until_it_is_resumed(tmp_path: Path) -> None:
    process = SupervisedProcess("count", [sys.executable, "-c", COUNT], {}, tmp_path / "log")
    await process.start()
    try:
        await wait_for_more(process, "")
        process.pause()
        paused = await settled_output(process)
        process.resume()
        await wait_for_more(process, paused)
        assert process.restarts == 0
    finally:
        await process.stop()


async def wait_for_more(process: SupervisedProcess, output: str) -> None:
    async with asyncio.timeout(60):
        while process.output() == output:
            await asyncio.sleep(0.01)


async def settled_output(process: SupervisedProcess) -> str:
    """Returns the output once it no longer grows."""
    async with asyncio.timeout(60):
        while True:
            output = process.output()
            await asyncio.sleep(0.2)
            if process.output() == output:
                return output
