"""Receiving messages whose subject is not UTF-8.

nats-server accepts any bytes in a subject. nats-py decodes them strictly in its reading task, which an error ends: the
client receives nothing more, and still counts as connected. So one such message would silence a service, again after
each restart, because the server delivers it again.
"""

from typing import Any

from nats.aio.client import Client


def replace_invalid_subject_bytes(client: Client) -> None:
    """Makes the client replace bytes of a subject that are not UTF-8. The message then becomes a dead letter."""
    build_message = client._build_message

    def build(sid: int, subject: bytes, *rest: Any) -> Any:
        return build_message(sid, subject.decode(errors="replace").encode(), *rest)

    client._build_message = build  # type: ignore[assignment, method-assign]  # nats-py has no public place for it
