"""What campaign-stats is told by its environment."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from chassis.settings import ServiceSettings


def _mongo(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must begin with mongodb:// or mongodb+srv://")
    return url


class Settings(ServiceSettings):
    """``MONGO_URL`` is taken as it is, ``retryWrites`` and all; it is secret because it may hold a password."""

    mongo_url: Annotated[SecretStr, AfterValidator(_mongo)] = Field(
        description="a replica set: transactions need one, e.g. mongodb://127.0.0.1:27017/?replicaSet=rs0"
    )
    mongo_database: str = Field(default="centralita", pattern=r"^[A-Za-z0-9_-]{1,63}$")
