"""A running system as Rich renderables."""

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table

from centralita.embedded.credentials import without_credentials
from centralita.embedded.system import System


def started(system: System) -> RenderableType:
    """Shows the address of each server and service, and which vendors are real."""
    table = Table.grid(padding=(0, 2))
    addresses = {"NATS": without_credentials(system.nats_url), "MongoDB": system.mongo_url.split("?")[0], **system.urls}
    for name, url in addresses.items():
        table.add_row(name, url)
    for vendor in system.vendors.real:
        table.add_row(vendor, "[bold]real account[/bold]")
    for vendor in system.vendors.simulated:
        table.add_row(vendor, "simulator")
    return Panel(table, title="Centralita is up", title_align="left", expand=False)


def print_console(console: Console, system: System) -> None:
    """Prints where the calls are shown in a browser, or how to install that."""
    if system.console_url is None:
        console.print("Calls in a browser: pip install 'centralita\\[console]', and start again.")
        return
    console.print("\nCalls in a browser. The link logs in once:")
    console.print(f"  {system.console_url}", soft_wrap=True, highlight=False, markup=False)
