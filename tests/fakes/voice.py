"""Fakes of the ports of voice."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts import AudioRequested, PhoneNumber
from providers import Failure, RequestFailed
from telephony.dial_failures import DialFailed
from voice.domain.clips import ClipName, SynthesisRequest
from voice.ports import DialOrder, ProviderCall


@dataclass
class FakeSpokenFallback:
    """Keeps the requests to speak: provider call id, call id, attempt, turn, sentence, and the turn's sequence."""

    requests: list[tuple[str, UUID, int, int, int, int]] = field(default_factory=list)
    is_broken: bool = False

    async def redirect_to_remainder(
        self, provider_call_id: str, call_id: UUID, attempt: int, turn: int, sentence: int, after_sequence: int = 0
    ) -> None:
        if self.is_broken:
            raise TimeoutError
        self.requests.append((provider_call_id, call_id, attempt, turn, sentence, after_sequence))


@dataclass
class FakeCallDirectory:
    """Contains some calls, and keeps the arguments of the last listing."""

    calls: Sequence[ProviderCall]
    listed_number: PhoneNumber | None = None
    listed_after: datetime | None = None
    listed_caller_id: str | None = None

    async def fetch(self, provider_call_id: str) -> ProviderCall | None:
        return next((call for call in self.calls if call.provider_call_id == provider_call_id), None)

    async def list_calls(
        self, number: PhoneNumber, created_after: datetime, caller_id: str | None
    ) -> list[ProviderCall]:
        self.listed_number, self.listed_after, self.listed_caller_id = number, created_after, caller_id
        return list(self.calls)


@dataclass
class FakeTelephony:
    """Accepts each dial order, or fails with the next of `failures`. Keeps the orders and the hang-ups."""

    provider: str = "fake"
    failures: list[DialFailed] = field(default_factory=list)
    orders: list[DialOrder] = field(default_factory=list)
    hung_up: list[str] = field(default_factory=list)

    async def dial(self, order: DialOrder) -> str:
        self.orders.append(order)
        if self.failures:
            raise self.failures.pop(0)
        return f"call-{len(self.orders)}"

    async def hang_up(self, provider_call_id: str) -> None:
        self.hung_up.append(provider_call_id)


@dataclass
class FakeClips:
    """Stores clips in memory."""

    stored: dict[ClipName, bytes] = field(default_factory=dict)

    async def has(self, name: ClipName) -> bool:
        return name in self.stored

    async def get(self, name: ClipName) -> bytes | None:
        return self.stored.get(name)

    async def put(self, name: ClipName, audio: bytes, *, is_answered: bool = True) -> None:
        self.stored[name] = audio


@dataclass
class FakeSynthesizer:
    """A voice that yields `pieces`, and then fails with the next of `failures`.

    Keeps the deadlines of its requests, and which voice and text each one named.
    """

    name: str
    pieces: Sequence[bytes] = ()
    failures: list[Failure] = field(default_factory=list)
    first_by: list[float] = field(default_factory=list)
    spoken: list[tuple[str, str]] = field(default_factory=list)

    def build_request(self, sentence: AudioRequested) -> SynthesisRequest:
        return SynthesisRequest(voice=sentence.voice or self.name, model="model", settings=(), text=sentence.text)

    async def synthesize(self, request: SynthesisRequest, *, first_by: float) -> AsyncGenerator[bytes, None]:
        self.first_by.append(first_by)
        self.spoken.append((request.voice, request.text))
        failure = self.failures.pop(0) if self.failures else None
        for piece in self.pieces:
            yield piece
        if failure:
            raise RequestFailed(failure)
