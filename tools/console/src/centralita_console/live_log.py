"""The newest events of the log, for all browsers with the same key that watch the same events.

One stream of the REST API is read for all of them, and each event becomes a line once. A browser has only a position:
it is sent the lines after it. One whose position is before the oldest line that is kept reads the REST API by itself
until it is not (`centralita_console.pages.log`).
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from centralita_console.event_stream import streamed_events
from centralita_console.live_views import LiveView, LiveViews
from centralita_console.log_lines import Line, line_of
from centralita_console.rest_client import RestClient, RestFailure, Unreachable

MAX_KEPT = 1_000
"""Lines that are kept. Most browsers are a quarter of a second behind."""


@dataclass(frozen=True, slots=True)
class KeptLine:
    """One line, also as JSON."""

    sequence: int
    line: Line
    text: str


@dataclass(slots=True)
class LiveLog(LiveView):
    """The events after `begin_sequence` up to `sequence`, as lines. `problem`: why it is followed no more."""

    begin_sequence: int | None = None
    sequence: int = 0
    problem: Exception | None = None
    _lines: deque[KeptLine] = field(default_factory=deque)

    def add(self, sequence: int, line: Line | None) -> None:
        """Adds the next event; None: the position at which the stream begins."""
        if self.begin_sequence is None:
            self.begin_sequence = sequence if line is None else sequence - 1
        if line is not None:
            if len(self._lines) >= MAX_KEPT:
                self.begin_sequence = self._lines.popleft().sequence
            self._lines.append(KeptLine(sequence, line, json.dumps(line)))
        self.sequence = max(self.sequence, sequence)
        self.change()

    def has_all_after(self, sequence: int) -> bool:
        """Whether every event after a sequence is kept. The REST API answers for one that was not read yet."""
        return self.begin_sequence is not None and self.begin_sequence <= sequence <= self.sequence

    def after(self, sequence: int, matches: Callable[[Line], bool]) -> str:
        """Returns the lines after a sequence that match, as JSON."""
        texts = []
        for kept in reversed(self._lines):
            if kept.sequence <= sequence:
                break
            if matches(kept.line):
                texts.append(kept.text)
        return f"[{', '.join(reversed(texts))}]"


@asynccontextmanager
async def watch_log(views: LiveViews, api: RestClient, parameters: dict[str, str]) -> AsyncIterator[LiveLog]:
    """Yields the newest events of a campaign, or of everything that the key may see. Raises TooManyWatchers."""
    key = ("log", api.api_key, *parameters.values())
    async with views.watch(key, LiveLog, lambda live: _follow(live, api, parameters)) as live:
        yield live


async def _follow(live: LiveLog, api: RestClient, parameters: dict[str, str]) -> None:
    """Reads until the REST API fails. It ends each stream after an hour; the next one continues after it."""
    try:
        while True:
            after_sequence = None if live.begin_sequence is None else live.sequence
            async with streamed_events(api, parameters, after_sequence, has_positions=True) as streamed:
                async for event in streamed:
                    live.add(event.sequence, line_of(event.resource) if event.resource else None)
    except (RestFailure, Unreachable) as error:
        live.problem = error
