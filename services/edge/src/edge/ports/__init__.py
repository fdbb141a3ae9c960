"""What the edge needs from NATS and from other services, each replaced by a fake in tests."""

from edge.ports.calls import (
    ArchiveName,
    Backlog,
    CallLog,
    CallMessages,
    DisplayedLog,
    OnOutcome,
    Requests,
    Speech,
)
from edge.ports.contacts import (
    ContactPage,
    Contacts,
    Importer,
    NewContact,
    PersonalRecords,
)
from edge.ports.dead_letters import DeadLetterDirectory
from edge.ports.errors import (
    BacklogFull,
    SpeechUnavailable,
    TooLarge,
    Unavailable,
    Unreadable,
)
from edge.ports.feed import (
    EventFeed,
    FeedEvent,
    LiveEvents,
    Selection,
)
from edge.ports.records import (
    ALL_SUBJECTS,
    Audit,
    AuditQuery,
    ContactCounter,
    DialCounter,
    EntryPage,
    NumberPage,
    Numbers,
    Statistics,
    StoredEntry,
)
from edge.ports.slots import SlotReader

__all__ = [
    "ALL_SUBJECTS",
    "ArchiveName",
    "Audit",
    "AuditQuery",
    "Backlog",
    "BacklogFull",
    "CallLog",
    "CallMessages",
    "ContactCounter",
    "ContactPage",
    "Contacts",
    "DeadLetterDirectory",
    "DialCounter",
    "DisplayedLog",
    "EntryPage",
    "EventFeed",
    "FeedEvent",
    "Importer",
    "LiveEvents",
    "NewContact",
    "NumberPage",
    "Numbers",
    "OnOutcome",
    "PersonalRecords",
    "Requests",
    "Selection",
    "SlotReader",
    "Speech",
    "SpeechUnavailable",
    "Statistics",
    "StoredEntry",
    "TooLarge",
    "Unavailable",
    "Unreadable",
]
