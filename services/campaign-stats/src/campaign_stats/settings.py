"""The settings of campaign-stats."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from chassis.settings import ServiceSettings


def _mongo(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must begin with mongodb:// or mongodb+srv://")
    return url


class Settings(ServiceSettings):
    """The database of the projection. ``MONGO_URL`` is used unchanged; it is secret, as it may contain a password."""

    mongo_url: Annotated[SecretStr, AfterValidator(_mongo)] = Field(
        description="URL of a replica set, which transactions require, e.g. mongodb://127.0.0.1:27017/?replicaSet=rs0"
    )
    mongo_database: str = Field(default="centralita", pattern=r"^[A-Za-z0-9_-]{1,63}$")
