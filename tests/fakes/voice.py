"""Fakes of the ports of voice."""

from dataclasses import dataclass, field
from uuid import UUID


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
