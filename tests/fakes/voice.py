"""Fakes of the ports of voice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts import PhoneNumber
from voice.ports import ProviderCall


@dataclass
class FakeSpokenFallback:
    """Keeps the requests to speak: provider call id, call id, attempt, turn and sentence. `is_broken`: it raises."""

    requests: list[tuple[str, UUID, int, int, int]] = field(default_factory=list)
    is_broken: bool = False

    async def redirect_to_remainder(
        self, provider_call_id: str, call_id: UUID, attempt: int, turn: int, sentence: int
    ) -> None:
        if self.is_broken:
            raise TimeoutError
        self.requests.append((provider_call_id, call_id, attempt, turn, sentence))


@dataclass
class FakeCallDirectory:
    """Contains some calls, and keeps the arguments of the last listing."""

    calls: Sequence[ProviderCall]
    listed_number: PhoneNumber | None = None
    listed_after: datetime | None = None

    async def fetch(self, provider_call_id: str) -> ProviderCall | None:
        return next((call for call in self.calls if call.provider_call_id == provider_call_id), None)

    async def list_calls(self, number: PhoneNumber, created_after: datetime) -> list[ProviderCall]:
        self.listed_number, self.listed_after = number, created_after
        return list(self.calls)
