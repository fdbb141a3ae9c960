"""The entries of one act in the audit log: before it, and with its result before the answer."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
import uuid_utils

from contracts import CommandOutcome
from contracts.audit import AuditEntry, Stage
from edge.application.errors import (
    ContactCapReached,
    DailyCapReached,
    KeyReused,
    NotInProgress,
    Refused,
    UnknownCall,
    UnknownDeadLetter,
)
from edge.application.masking import mask_numbers
from edge.ports import Audit, BacklogFull, SpeechUnavailable, TooLarge, Unavailable

T = TypeVar("T")

logger = structlog.get_logger()


class AuditTrail:
    """The entries of one act; `fields` are the values that all of them share."""

    def __init__(self, audit: Audit, **fields: object) -> None:
        self._audit = audit
        self._fields = {"act_id": str(uuid_utils.uuid7()), **fields}

    async def surround(
        self, act: Callable[[], Awaitable[tuple[T, bool]]], mask: Callable[[T], dict[str, Any] | None]
    ) -> tuple[T, bool]:
        """Performs the act between its two entries and returns its result. Re-raises its errors."""
        await self.append(Stage.ASKED)
        try:
            after, is_decided = await act()
        except Refused as refusal:
            await self.append(Stage.REFUSED, reasons=refusal.reasons)
            raise
        except (
            BacklogFull,
            ContactCapReached,
            DailyCapReached,
            KeyReused,
            NotInProgress,
            TooLarge,
            UnknownCall,
            UnknownDeadLetter,
        ) as error:
            await self.append(Stage.REFUSED, reasons=[str(error)])
            raise
        except (SpeechUnavailable, Unavailable) as error:
            await self.append(Stage.UNDECIDED, reasons=[str(error)])
            raise
        try:
            await self.append(Stage.ACCEPTED if is_decided else Stage.UNDECIDED, after=mask(after))
        except Unavailable as error:
            raise Unavailable(f"{error}; the act may have happened, check its target first") from error
        return after, is_decided

    async def append_outcome(self, outcome: CommandOutcome) -> None:
        """Appends the outcome of an act that was answered undecided. Logs an error if that is impossible."""
        try:
            stage = Stage.ACCEPTED if outcome.accepted else Stage.REFUSED
            after = {"status": outcome.status} if outcome.accepted else None
            await self.append(stage, after=after, reasons=outcome.reasons)
        except Unavailable as error:
            logger.error("late_outcome_not_recorded", act=self._fields["act"], error=str(error))

    async def refuse(self, reason: str) -> None:
        """Appends the entry of an act that is refused before it begins."""
        await self.append(Stage.REFUSED, reasons=[reason])

    async def append(self, stage: Stage, *, after: dict[str, Any] | None = None, reasons: Sequence[str] = ()) -> None:
        """Appends one entry."""
        entry = {
            **self._fields,
            "stage": stage,
            "recorded_at": datetime.now(UTC),
            "after": after,
            "reasons": tuple(mask_numbers(reason) for reason in reasons),
        }
        await self._audit.append(AuditEntry.model_validate(entry))
