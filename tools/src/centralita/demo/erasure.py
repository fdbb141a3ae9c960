"""`centralita demo --campaigns --forget CONTACT`: erases a person of the demo, and searches for what is left.

The person is erased over the REST API. The records must be equal afterwards, and nothing may contain the number, the
variables or a sentence of the person. A text that was also said to or by another person is not searched for.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from rich.console import Console

from centralita.demo import campaign_views
from centralita.demo.campaign_plan import OFFERS, REMINDERS, SETTINGS
from centralita.demo.campaign_views import Document
from centralita.demo.failure import DemoFailed
from centralita.demo.replay_commands import replay
from centralita.demo.text_search import TextSearch, search_files, search_servers
from centralita.embedded.system import System
from centralita.operations.rest_api import RestApi

EXPORT_FILE = "export.jsonl.gz"
_CHECKS = (("verify", "--strict"), ("rebuild", "--check"))


class PersonToForget:
    """A person of the demo. `calls`: the newest call of each contact."""

    def __init__(self, contact_id: str, calls: Mapping[str, Document]) -> None:
        self.contact_id = contact_id
        self._campaign_id = calls[contact_id]["campaign_id"]
        self._others = [UUID(call["id"]) for name, call in calls.items() if name != contact_id]
        self._search = TextSearch(())

    async def forget(self, console: Console, system: System, api: RestApi) -> None:
        """Erases the person, and searches the servers. Raises DemoFailed."""
        named = {"contact_id": self.contact_id, "campaign_id": self._campaign_id}
        person = await api.export_person(named)
        others = [event for call_id in self._others for event in await api.events(call_id)]
        texts = personal_texts(event for call in person["calls"] for event in call["events"])
        self._search = TextSearch(texts - personal_texts(others))
        before = await _statistics(api)
        certificate = (await api.erase_person(named))["certificate"]
        if not certificate or not certificate["had_key"]:
            raise DemoFailed(f"{self.contact_id} was not erased: {certificate}")
        if (after := await _statistics(api)) != before:
            raise DemoFailed(f"the erasure changed the statistics from {before} to {after}")
        for arguments in (*_CHECKS, ("export", str(system.folder / EXPORT_FILE))):
            await replay(system, SETTINGS, *arguments)
        await search_servers(self._search, system)
        control = TextSearch({others[0]["data"]["call"]["phone_number"]})
        await search_servers(control, system)
        if not control.found:
            raise DemoFailed("the search does not find the number of a person who was not erased")
        console.print(campaign_views.erased(self.contact_id, certificate, [" ".join(one) for one in _CHECKS]))

    def search_files(self, console: Console, system: System) -> None:
        """Searches the files, once the servers have stopped, and shows what was searched. Raises DemoFailed."""
        search_files(self._search, system.folder)
        console.print(campaign_views.searched(self.contact_id, self._search))
        if self._search.found:
            raise DemoFailed(f"texts of {self.contact_id} are left: {', '.join(self._search.found)}")


def personal_texts(events: Iterable[Document]) -> set[str]:
    """Returns the numbers, the variables, the scripts, and each sentence, in events as the REST API shows them."""
    texts: set[str] = set()
    for event in events:
        data: Mapping[str, Any] = event["data"]
        texts |= {data[name] for name in ("text", "summary", "last_sentence") if data.get(name)}
        if call := data.get("call"):
            message = (call["voicemail"] or {}).get("message", "")
            number = call["phone_number"]
            texts |= {number, number.lstrip("+"), call["script_template"], message, *call["variables"].values()}
    return texts - {""}


async def _statistics(api: RestApi) -> list[Document]:
    return [(await api.campaign(campaign_id))["calls"] for campaign_id in (REMINDERS, OFFERS)]
