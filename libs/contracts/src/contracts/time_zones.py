"""Time zones by their IANA names, from the package tzdata, and not from the files of this machine.

So every service, every replica and `replay verify` know the same names and the same changes of the offset. The files of
a machine may have more names. Some of them mean another time on each machine, such as ``localtime``.
"""

from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Returns the names of all time zones that exist."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def is_zone(name: str) -> bool:
    """Returns whether a time zone of this name exists."""
    return name in zone_names()


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Returns a time zone. Raises ZoneInfoNotFoundError if there is none of this name."""
    if not is_zone(name):
        raise ZoneInfoNotFoundError(f"no time zone {name!r}")
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
