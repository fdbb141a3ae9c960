"""Tool calls that are executed while the model waits for their results: what is executed, and what became of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn, Self

from contracts import ToolCalled, ToolRequested, ToolStatus

MAX_RESULT_CHARACTERS = 4_000
"""The longest result that the model is given."""
CUT = "… (cut)"


@dataclass(frozen=True, slots=True)
class ToolExecution:
    """An executed tool call of a turn, as far as the log contains it. `result`: none while it has not ended."""

    number: int
    name: str
    arguments: str
    result: str | None = None

    @classmethod
    def of(cls, requested: ToolRequested) -> Self:
        """Returns a tool call that has begun."""
        return cls(requested.number, requested.name, requested.arguments)

    def ended(self, called: ToolCalled) -> Self:
        """Returns the tool call with its result."""
        return replace(self, result=called.result)

    @property
    def argument_values(self) -> Mapping[str, object] | None:
        """The arguments of the model; none if they are no JSON object."""
        try:
            values = json.loads(self.arguments or "{}", parse_constant=_refuse_constant)
        except (ValueError, RecursionError):  # the second: nested too deeply
            return None
        return values if isinstance(values, dict) else None


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What became of a tool call: the result for the model, and how it ended for the log and the metrics."""

    result: str
    status: ToolStatus = ToolStatus.SUCCEEDED

    def cut(self) -> Self:
        """Returns the outcome with a result that is short enough for the model and for the log."""
        if len(self.result) <= MAX_RESULT_CHARACTERS:
            return self
        return replace(self, result=self.result[: MAX_RESULT_CHARACTERS - len(CUT)] + CUT)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
