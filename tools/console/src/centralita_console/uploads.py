"""A file in a form that a browser sends: the fields before the file, and the file in parts, as it arrives.

The form is multipart/form-data (RFC 7578). A browser sends its parts in the order of the page, so the token that proves
where the form is from comes before the file. Only the fields are kept in memory, and no more than `MAX_PREFACE_BYTES`
are read in search of them. The size and the rate of the whole body have their own limits (`chassis.body_limit`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

MAX_PREFACE_BYTES = 8_192
"""Fields and headers before the first byte of the file, and what follows its last one."""
PREFACE_SECONDS = 10
DISCARD_SECONDS = 15
"""How long the rest of a refused file is read. A browser that still sends would not see the answer."""
MAX_UPLOADS = 8
"""Uploads of one process at a time, and one of each session. Each has a connection to the REST API."""


class WrongUpload(Exception):
    """The body is no form with a file that can be sent on. `kind`: ``no_form``, ``no_file`` or ``other_format``."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(detail)
        self.kind = kind


class UploadInterrupted(Exception):
    """The body ended before the file did, or arrived too slowly; the message says which."""


class TooManyUploads(Exception):
    """The session, or this process, has as many running uploads as it may have."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is arriving. `parts` raises UploadInterrupted; `body` is what has not been read."""

    fields: dict[str, str]
    file_name: str
    parts: AsyncIterator[bytes]
    body: AsyncIterator[bytes]

    async def discard(self) -> None:
        """Reads the rest of the body, for a time."""
        with suppress(TimeoutError, ClientDisconnect, HTTPException):
            async with asyncio.timeout(DISCARD_SECONDS):
                async for _ in self.body:
                    pass


class RunningUploads:
    """The running uploads of this process."""

    def __init__(self) -> None:
        self._sessions: set[str] = set()

    @contextmanager
    def counted(self, session_id: str) -> Iterator[None]:
        """Counts an upload of a session while the block runs. Raises TooManyUploads."""
        if session_id in self._sessions or len(self._sessions) >= MAX_UPLOADS:
            raise TooManyUploads
        self._sessions.add(session_id)
        try:
            yield
        finally:
            self._sessions.discard(session_id)


async def read_upload(request: Request) -> Upload:
    """Reads the form up to its file. Raises WrongUpload and UploadInterrupted."""
    form = _Form(_boundary_of(request))
    stream = request.stream()
    content: list[bytes] = []
    read_bytes = 0
    try:
        async with asyncio.timeout(PREFACE_SECONDS):
            while form.file_name is None:
                part = await anext(stream)
                read_bytes += len(part)
                content = form.feed(part)
                if form.file_name is None and read_bytes > MAX_PREFACE_BYTES:
                    raise WrongUpload("no_form", f"no file in the first {MAX_PREFACE_BYTES} bytes")
    except (StopAsyncIteration, FormParserError, ValueError) as error:
        raise WrongUpload("no_form", str(error)) from None
    except (TimeoutError, ClientDisconnect) as error:
        raise UploadInterrupted(type(error).__name__) from None
    if not form.file_name:
        raise WrongUpload("no_file")
    return Upload(form.fields, form.file_name, _parts(form, content, stream), stream)


async def _parts(form: "_Form", content: list[bytes], stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the file in parts, and reads what little follows it. Raises UploadInterrupted."""
    rest_bytes = 0
    try:
        for part in content:
            yield part
        async for received in stream:
            if form.is_file_complete:
                rest_bytes += len(received)
                if rest_bytes > MAX_PREFACE_BYTES:
                    return
                continue
            for part in form.feed(received):
                yield part
    except ClientDisconnect:
        raise UploadInterrupted("the browser closed the connection") from None
    except FormParserError as error:
        raise UploadInterrupted(str(error)) from None
    except HTTPException as error:
        raise UploadInterrupted(error.detail) from None
    if not form.is_file_complete:
        raise UploadInterrupted("the end of the form is missing")


def _boundary_of(request: Request) -> bytes:
    media_type, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if media_type != b"multipart/form-data" or not boundary:
        raise WrongUpload("no_form", "not multipart/form-data")
    return boundary


class _Form:
    """What the parser has found so far. The content of the file is returned, not kept."""

    def __init__(self, boundary: bytes) -> None:
        """Raises FormParserError."""
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None
        """None before the headers of the file; empty if no file was chosen."""
        self.is_file_complete = False
        self._header = (bytearray(), bytearray())
        self._name = ""
        self._value = bytearray()
        self._is_in_file = False
        self._content: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_part_data": self._collect,
                "on_part_end": self._end_part,
            },
        )

    def feed(self, data: bytes) -> list[bytes]:
        """Parses a part of the body, and returns what of it belongs to the file. Raises FormParserError."""
        self._content = []
        self._parser.write(data)
        return self._content

    def _begin_part(self) -> None:
        self._name, self._value, self._is_in_file = "", bytearray(), False

    def _end_header(self) -> None:
        name, value = (bytes(half) for half in self._header)
        self._header = (bytearray(), bytearray())
        if name.lower() != b"content-disposition" or self.file_name is not None:
            return
        _, options = parse_options_header(value)
        self._name = options.get(b"name", b"").decode(errors="replace")
        if b"filename" in options:
            self._is_in_file = True
            self.file_name = options[b"filename"].decode(errors="replace")

    def _collect(self, data: bytes, start: int, end: int) -> None:
        if self._is_in_file:
            self._content.append(data[start:end])
        elif self.file_name is None:
            self._value.extend(data[start:end])

    def _end_part(self) -> None:
        if self._is_in_file:
            self.is_file_complete = True
        elif self.file_name is None:
            self.fields[self._name] = self._value.decode(errors="replace")
        self._is_in_file = False
