"""Child processes that are restarted when they end, each with its output in its own file."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PAUSE_SECONDS = 0.2
STOP_SECONDS = 15


@dataclass
class SupervisedProcess:
    """One process that is restarted when it ends; `restarts` counts how often."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    inherited: tuple[int, ...] = ()
    restarts: int = 0
    process: asyncio.subprocess.Process | None = None
    _log_offset: int = 0
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    async def start(self) -> None:
        """Starts the process, and restarts it whenever it ends."""
        self._log_offset = self.log.stat().st_size if self.log.exists() else 0
        await self._spawn()
        self._task = asyncio.create_task(self._keep_running(), name=self.name)

    async def stop(self) -> None:
        """Stops the process and its restarts: SIGTERM, then SIGKILL after `STOP_SECONDS`."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self.process is None or self.process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    def kill(self) -> None:
        """Sends SIGKILL. The process is restarted."""
        self._send(signal.SIGKILL)

    def pause(self) -> None:
        """Sends SIGSTOP: the process does nothing until `resume`."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Sends SIGCONT. A process that was not paused is unaffected."""
        self._send(signal.SIGCONT)

    def output(self) -> str:
        """Returns its output since `start`."""
        return self.log.read_bytes()[self._log_offset :].decode(errors="replace")

    def _send(self, number: signal.Signals) -> None:
        if self.process and self.process.returncode is None:
            self.process.send_signal(number)

    async def _spawn(self) -> None:
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                env=dict(self.environment),
                stdout=output,
                stderr=output,
                pass_fds=self.inherited,
                start_new_session=True,
            )

    async def _keep_running(self) -> None:
        while True:
            assert self.process is not None  # noqa: S101  set by start
            await self.process.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            self.restarts += 1
            await self._spawn()
