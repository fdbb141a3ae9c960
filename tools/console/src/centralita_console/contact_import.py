"""The import of contacts as a page shows it: which columns a file needs, and what became of its rows."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

from contracts.campaign import Campaign, CampaignTerms
from contracts.contacts import ContactScript, campaign_refusal

MAX_FILE_MEGABYTES = 512
"""As the REST API permits."""
MEDIA_TYPES = {".csv": "text/csv", ".jsonl": "application/x-ndjson", ".ndjson": "application/x-ndjson"}
"""As `centralita campaign import` names them. What a browser says about a file depends on the machine."""
_EXAMPLE = {"phone_number": "+12125550123", "contact_id": "c-1", "time_zone": "America/New_York", "language": "en"}


@dataclass(frozen=True, slots=True)
class ImportForm:
    """What the form needs. `refusal`: why no contact can be added to the campaign; empty if contacts can be added."""

    refusal: str
    required: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What became of a file. `problem` is what went wrong, and `from_line` where an import continues."""

    result: Mapping[str, Any] | None = None
    kind: str = ""
    problem: str = ""
    from_line: int | None = None

    @property
    def others(self) -> Sequence[tuple[str, int]]:
        """The reasons why rows are not added, each with its count; the most frequent first, duplicates last."""
        if self.result is None:
            return ()
        refused = sorted(self.result["refused"].items(), key=lambda item: -item[1])
        duplicates = self.result["duplicates"]
        return [*refused, ("duplicates", duplicates)] if duplicates else refused

    @property
    def refused(self) -> int:
        """How many rows are refused."""
        return sum(self.result["refused"].values()) if self.result else 0


def import_form(campaign: Mapping[str, Any], now: datetime) -> ImportForm:
    """Returns the form for a campaign of the REST API."""
    terms = CampaignTerms.model_validate(campaign["terms"]) if campaign["terms"] else None
    state = Campaign(campaign_id=campaign["campaign_id"], terms=terms, finished_at=campaign["finished_at"])
    required = ContactScript(terms).required if terms else ()
    return ImportForm(campaign_refusal(state, now) or "", required)


def media_type_of(file_name: str) -> str | None:
    """Returns the media type of a file by the end of its name; None if it has another format."""
    return MEDIA_TYPES.get(PurePath(file_name).suffix.lower())


def example_file(required: Sequence[str]) -> str:
    """Returns a file with one contact, for a script that needs these variables."""
    contact = {**_EXAMPLE, **{name: name.replace("_", " ") for name in required}}
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([contact.keys(), contact.values()])
    return text.getvalue()
