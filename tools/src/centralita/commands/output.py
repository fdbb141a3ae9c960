"""What a command shows: Rich for people, JSON for scripts, phone numbers masked in both unless they are asked for."""

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
from centralita.operations.masking import mask_numbers

screen = Console()


def show(what: RenderableType, *, numbers: bool = False) -> None:
    """Prints for a person."""
    if numbers:
        screen.print(what)
        return
    drawn = Console(
        file=io.StringIO(),
        width=screen.width,
        color_system="truecolor" if screen.is_terminal else None,
        force_terminal=screen.is_terminal,
    )
    drawn.print(what)
    typer.echo(mask_numbers(drawn.file.getvalue()), nl=False)  # type: ignore[attr-defined]  # it is the StringIO above


def as_json(what: object, *, numbers: bool = False, lines: bool = False) -> None:
    """Prints for a script: one document, or (`lines`) one line."""
    text = json.dumps(what, default=_plain, ensure_ascii=False, indent=None if lines else 2)
    typer.echo(text if numbers else mask_numbers(text))


def _plain(value: object) -> Any:
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
            raise TypeError(f"{type(value).__name__} is not for JSON")


@contextmanager
def bar(title: str, *, hidden: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error; called with a step's name and how many of how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=hidden) as progress:
        task = progress.add_task(title, total=None)

        def told(step: str, done: int, of: int) -> None:
            progress.update(task, description=step, completed=done, total=of)

        yield told
