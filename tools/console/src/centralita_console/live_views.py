"""Views that browsers watch. Each is kept current by one task, and rendered once, for all browsers with the same key.

A view changes as often as events are stored. It is published at most so many times a second, to all browsers at the
same time: the first of them renders it, and the others are sent the same bytes. So a browser costs little more than the
bytes that it is sent (ADR 62). A slow one skips what was published meanwhile, so it costs no memory.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar, cast

MAX_WATCHERS = 500
"""Streams to browsers that are open at a time."""
MAX_PUBLISHED_PER_SECOND = 4.0

Key = tuple[str, ...]


@dataclass(slots=True)
class LiveView:
    """A view, and the task that keeps it current while browsers watch it.

    `version` changes with the view. `published`: the version that browsers may be sent.
    """

    version: int = 0
    published: int = 0
    watchers: int = 0
    task: asyncio.Task[None] | None = None
    is_stopped: bool = False
    min_seconds: float = 1 / MAX_PUBLISHED_PER_SECOND
    """At least so much time is between two publications."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _timer: asyncio.TimerHandle | None = None
    _published_at: float = -math.inf
    _texts: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    @property
    def is_followed(self) -> bool:
        """Whether the task still keeps the view current. If it has failed, browsers connect again."""
        return self.task is not None and not self.task.done() and not self.is_stopped

    def change(self) -> None:
        """Publishes the view soon; at once, if it was not published a moment ago."""
        self.version += 1
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._published_at + self.min_seconds), self.publish)

    def publish(self) -> None:
        """Lets every browser look at the view now."""
        if self._timer:
            self._timer.cancel()
        self._timer, self._published_at = None, asyncio.get_running_loop().time()
        self.published = self.version
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Ends the streams of its browsers."""
        self.is_stopped = True
        self.publish()

    async def newer_than(self, version: int, timeout_seconds: float) -> bool:
        """Waits until another version is published; false if that takes longer, or the view is followed no more."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while self.published == version and self.is_followed:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                return False
        return self.published != version

    def text(self, language: str, render: Callable[[], str]) -> bytes:
        """Returns the published version in a language. The first browser that asks for it renders it for all."""
        version, text = self._texts.get(language, (-1, b""))
        if version != self.published:
            text = render().encode()
            self._texts[language] = (self.published, text)
        return text


class TooManyWatchers(Exception):
    """`MAX_WATCHERS` streams to browsers are open."""


V = TypeVar("V", bound=LiveView)


class LiveViews:
    """The views that are watched now, by what they show and the API key that may see it."""

    def __init__(self) -> None:
        self._views: dict[Key, LiveView] = {}
        self._streams = 0
        self._wakes: set[asyncio.Event] = set()
        self.must_stop = asyncio.Event()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Counts a stream to a browser. Raises TooManyWatchers."""
        if self._streams >= MAX_WATCHERS:
            raise TooManyWatchers
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    @contextmanager
    def woken_at_stop(self, wake: asyncio.Event) -> Iterator[None]:
        """Sets an event when the streams must end: for those that follow no view."""
        self._wakes.add(wake)
        try:
            yield
        finally:
            self._wakes.discard(wake)

    @asynccontextmanager
    async def watch(
        self, key: Key, create: Callable[[], V], follow: Callable[[V], Coroutine[None, None, None]]
    ) -> AsyncIterator[V]:
        """Yields the view with this key, which names the API key, too. The first browser begins its task.

        Raises TooManyWatchers.
        """
        with self.admitted():
            view = cast("V | None", self._views.get(key))  # a key has views of one kind
            if view is None or (view.task and view.task.done()):
                view = create()
                self._views[key] = view
            view.watchers += 1
            if view.task is None:
                view.task = asyncio.create_task(follow(view), name=f"live-{key[0]}")
                view.task.add_done_callback(lambda _: view.publish())
            try:
                yield view
            finally:
                view.watchers -= 1
                if not view.watchers:
                    if self._views.get(key) is view:
                        del self._views[key]
                    view.task.cancel()

    def stop(self) -> None:
        """Ends the streams of all browsers, for which the server would wait otherwise."""
        self.must_stop.set()
        for wake in self._wakes:
            wake.set()
        for view in self._views.values():
            view.stop()
