"""What admission has granted and what waits."""

from typing import Protocol

from contracts.queries import AdmissionState


class SlotReader(Protocol):
    """Reads the state of admission from call-orchestrator."""

    async def read(self, campaign_id: str | None) -> AdmissionState:
        """Returns the state of admission, in all or for one campaign. Raises Unavailable."""
