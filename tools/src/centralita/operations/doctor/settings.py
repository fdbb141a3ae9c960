"""Each service's own settings, read from this environment as the service itself would read them."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError, create_model

from centralita.embedded.credentials import find_password, is_embedded_run
from centralita.embedded.run_files import SETTINGS_FILE
from centralita.operations.doctor.checks import Finding, failed, ok, skipped
from chassis.provision import Settings as Provisioning
from chassis.replicas import Replicas
from chassis.settings import ServiceSettings
from contracts.permissions import users

MODULES = ("call_orchestrator", "voice", "conversation", "campaign_stats", "edge")
AREA = "settings"
SET_BY_COMPOSE = ("MONGO_URL",)
"""What is required and does not stand in compose's ``.env``; a test compares."""


def of_run(nats_url: str) -> Path | None:
    """The settings of a `centralita up` in this folder, if `nats_url` is that of its bus and names nobody else."""
    return SETTINGS_FILE if SETTINGS_FILE.exists() and is_embedded_run(nats_url) else None


def read(env_file: Path | None) -> tuple[dict[str, Any], list[Finding]]:
    """The settings that are whole, by their service's module; and what was found of each."""
    found: dict[str, Any] = {}
    findings: list[Finding] = []
    for module in MODULES:
        if importlib.util.find_spec(module) is None:
            findings.append(skipped(AREA, module, "not installed here"))
            continue
        kind: type[BaseModel] = importlib.import_module(f"{module}.settings").Settings
        try:
            found[module] = kind(**({"_env_file": env_file} if env_file else {}))
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)
            findings += [_wrong(module, detail, by_compose=_is_of_compose(env_file)) for detail in wrong]
        else:
            findings.append(ok(AREA, module, f"complete, with {env_file}" if env_file else "complete"))
    return found, findings


def replicas(env_file: Path | None) -> int:
    """On how many nodes each stream is to stand."""
    try:
        read: Any = Provisioning
        return int(read(_env_file=env_file).nats_replicas)
    except ValidationError:  # of another setting, which has a finding of its own
        return Replicas.ONE


def passwords(nats_url: str, env_file: Path | None) -> dict[str, str]:
    """The passwords of NATS's users that are to be found: in `nats_url`, of a `make up` here, in the environment."""
    fields: dict[str, Any] = {user.password_variable.lower(): (str, "") for user in users()}
    kind: Any = create_model("Passwords", __base__=ServiceSettings, **fields)
    try:
        told = kind(_env_file=env_file).model_dump()
    except ValidationError:  # of another setting, which has a finding of its own
        told = {}
    found = {
        user.name: find_password(nats_url, user.name) or told.get(user.password_variable.lower(), "")
        for user in users()
    }
    return {name: password for name, password in found.items() if password}


def _is_of_compose(env_file: Path | None) -> bool:
    """Whether the file is compose's ``.env``: it has passwords that no service reads by these names."""
    told = dotenv_values(env_file) if env_file else {}
    return any(told.get(user.password_variable) for user in users())


def _wrong(module: str, detail: Any, *, by_compose: bool) -> Finding:
    name = "_".join(str(part) for part in detail["loc"]).upper() or "settings"
    if by_compose and name in SET_BY_COMPOSE and detail["type"] == "missing":
        return skipped(AREA, f"{module}: {name}", "compose sets it itself")
    message = str(detail["msg"]).removeprefix("Value error, ")
    advice = f"set {name} in the environment of {module}; .env.example says what it is"
    return failed(AREA, f"{module}: {name}", message, advice)
