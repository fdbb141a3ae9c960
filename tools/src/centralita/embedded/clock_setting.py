"""The simulated clock of a run, as the setting of its services."""

from collections.abc import Mapping

from centralita.embedded.servers import CannotStart
from centralita.embedded.vendors import Vendors
from chassis.time_mapping import TimeMapping


def clock_setting(
    environment: Mapping[str, str], running_vendors: Vendors, simulated_clock: TimeMapping | None
) -> dict[str, str]:
    """Returns the setting of the simulated clock; an exported one is ignored. Raises CannotStart."""
    if simulated_clock is None:
        return {"SIMULATED_CLOCK": ""} if "SIMULATED_CLOCK" in environment else {}
    if "twilio" in running_vendors.real:
        raise CannotStart("a simulated clock would call people at night: unset the settings of twilio")
    return {"SIMULATED_CLOCK": simulated_clock.model_dump_json()}
