"""The output of commands: Rich for people, JSON for scripts. Phone numbers are masked in both by default."""

import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from centralita.commands.exit_codes import errors
from records.masking import mask_numbers

screen = Console()


def print_view(view: RenderableType, *, numbers: bool = False) -> None:
    """Prints for people; `numbers`: phone numbers are not masked."""
    if numbers:
        screen.print(view)
        return
    drawn = Console(
        file=io.StringIO(),
        width=screen.width,
        color_system="truecolor" if screen.is_terminal else None,
        force_terminal=screen.is_terminal,
    )
    drawn.print(view)
    typer.echo(mask_numbers(drawn.file.getvalue()), nl=False)  # type: ignore[attr-defined]  # the StringIO above


def print_json(value: object, *, numbers: bool = False, lines: bool = False) -> None:
    """Prints for scripts: one document, or a single line if `lines`; `numbers`: phone numbers are not masked."""
    text = json.dumps(value, default=_jsonable, ensure_ascii=False, indent=None if lines else 2)
    typer.echo(text if numbers else mask_numbers(text))


def _jsonable(value: object) -> Any:
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case datetime():
            return value.isoformat()
        case UUID() | Path():
            return str(value)
        case Enum():
            return value.value
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        case _:
            raise TypeError(f"{type(value).__name__} cannot be written as JSON")


@contextmanager
def progress_bar(title: str, *, hidden: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Shows a progress bar on standard error; yields a function of the stage's name, the done and the total number."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=hidden) as progress:
        task = progress.add_task(title, total=None)

        def update(stage: str, done: int, total: int) -> None:
            progress.update(task, description=stage, completed=done, total=total)

        yield update
