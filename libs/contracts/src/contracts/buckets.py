"""Buckets as data: what the replicas of a service share beside the streams."""

from dataclasses import dataclass
from typing import ClassVar

from contracts.event import Service
from contracts.streams import MEGABYTE, STREAMS, Stream


@dataclass(frozen=True)
class Bucket:
    """A bucket of the server, shared by the replicas of a service. A full bucket rejects writes."""

    name: str
    owner: Service
    """The service that uses it, in whose account it is."""
    description: str
    max_bytes: int
    max_age_seconds: int

    prefix: ClassVar[str]
    subject_prefix: ClassVar[str]

    @property
    def stream(self) -> Stream:
        """The stream in which the server keeps the bucket."""
        return Stream(f"{self.prefix}_{self.name}", (self.subjects,), self.description, owner=self.owner)

    @property
    def subjects(self) -> str:
        """The filter of the subjects on which the server keeps the values."""
        return f"{self.subject_prefix}.{self.name}.>"


@dataclass(frozen=True)
class ObjectBucket(Bucket):
    """A bucket of the Object Store."""

    prefix: ClassVar[str] = "OBJ"
    subject_prefix: ClassVar[str] = "$O"


@dataclass(frozen=True)
class KeyValueBucket(Bucket):
    """A bucket of the key-value store. The size of each value is limited, too."""

    max_value_bytes: int

    prefix: ClassVar[str] = "KV"
    subject_prefix: ClassVar[str] = "$KV"


CLIPS = ObjectBucket(
    "clips",
    Service.VOICE,
    "Speech without variables, under the digest of voice and text",
    max_bytes=512 * MEGABYTE,
    max_age_seconds=7 * 24 * 3600,
)
CALL_CLIPS = KeyValueBucket(
    "call_clips",
    Service.VOICE,
    "Speech with the variables of one answered call, under its id and the digest of voice and text, until it ends",
    max_bytes=256 * MEGABYTE,
    max_age_seconds=3600,
    max_value_bytes=960 * 1024,  # four minutes of speech; the server accepts no message above 1 MB
)
ANSWERS = KeyValueBucket(
    "answers",
    Service.CONVERSATION,
    "Answers to frequent questions, under the digest of the question; each expires by itself",
    max_bytes=16 * MEGABYTE,
    max_age_seconds=24 * 3600,
    max_value_bytes=4096,
)
DIALS = KeyValueBucket(
    "dials",
    Service.EDGE,
    "Dials that each API key has reserved, under the key's name and the day, and for each id",
    max_bytes=128 * MEGABYTE,
    max_age_seconds=2 * 24 * 3600,
    max_value_bytes=4096,
)
BUCKETS: tuple[Bucket, ...] = (CLIPS, CALL_CLIPS, ANSWERS, DIALS)
WATCHED_STREAMS = (*STREAMS, *(bucket.stream for bucket in BUCKETS))
"""The streams whose sizes campaign-stats exports as metrics."""
