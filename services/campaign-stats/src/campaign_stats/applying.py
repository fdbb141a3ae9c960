"""Applies a batch although MongoDB cannot store what some of its events lead to.

Such an event is reported and left out; the checkpoint moves past it with the rest of the batch. The report comes before
the transaction that moves the checkpoint, so an event is never left out unreported. It may be reported twice: after a
crash in between, and by two replicas that race.

- `EventsRefused` names its events. This is the usual way, and it depends on the log alone (`documents.refusals`).
- `BatchRejected` names none. The batch is halved until one event is left that the driver or the server refuses.

All other errors (MongoDB is down, has no primary, denies access) say nothing about an event. They are raised, and the
batch is applied again later.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from campaign_stats.store import BatchRejected, EventsRefused, Store
from contracts import Event

OnRefused = Callable[[Mapping[int, Sequence[str]]], Awaitable[None]]
"""Called with the sequence of each event that is left out, and its reasons."""


async def apply_batch(
    store: Store,
    checkpoint: int,
    batch: Sequence[tuple[int, Event]],
    *,
    end_sequence: int,
    on_refused: OnRefused,
    stored_at: datetime | None = None,
) -> None:
    """Applies the batch without the events that cannot be written. Raises what `Store.apply` raises otherwise."""
    apply = partial(store.apply, end_sequence=end_sequence, stored_at=stored_at)
    apply_rest = partial(apply_batch, store, end_sequence=end_sequence, on_refused=on_refused, stored_at=stored_at)
    try:
        await apply(checkpoint, batch)
    except EventsRefused as error:
        await on_refused(error.reasons)
        rest = [(sequence, event) for sequence, event in batch if sequence not in error.reasons]
        await apply_rest(checkpoint, rest)
    except BatchRejected as error:
        if not batch:
            raise
        if len(batch) == 1:
            await on_refused({batch[0][0]: [str(error)]})
            await apply(checkpoint, [])
            return
        half = len(batch) // 2
        middle = batch[half - 1][0]
        await apply_batch(store, checkpoint, batch[:half], end_sequence=middle, on_refused=on_refused)
        await apply_rest(middle, batch[half:])
