"""Checks of each service's settings, read from this environment as the service itself reads them."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError, create_model

from centralita.embedded.credentials import find_password, is_embedded_run
from centralita.embedded.run_files import SETTINGS_FILE
from chassis.findings import Finding, failed, ok, skipped
from chassis.provision import Settings as ProvisioningSettings
from chassis.settings import ServiceSettings
from contracts.permissions import users

MODULES = ("call_orchestrator", "voice", "conversation", "campaign_stats", "edge")
AREA = "settings"
SET_BY_COMPOSE = ("MONGO_URL",)
"""Required settings that compose sets itself, so that its ``.env`` does not contain them; a test compares."""


def run_settings_file(nats_url: str) -> Path | None:
    """Returns the settings file of the `centralita up` in this folder, if `nats_url` is that of its NATS server."""
    return SETTINGS_FILE if SETTINGS_FILE.exists() and is_embedded_run(nats_url) else None


def read(env_file: Path | None) -> tuple[dict[str, Any], list[Finding]]:
    """Returns the complete settings by the service's module, and a finding for each module."""
    complete: dict[str, Any] = {}
    findings: list[Finding] = []
    for module in MODULES:
        if importlib.util.find_spec(module) is None:
            findings.append(skipped(AREA, module, "not installed here"))
            continue
        settings: type[BaseModel] = importlib.import_module(f"{module}.settings").Settings
        try:
            complete[module] = settings(**({"_env_file": env_file} if env_file else {}))
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            findings += [_finding(module, detail, is_compose=_is_compose_file(env_file)) for detail in details]
        else:
            findings.append(ok(AREA, module, f"complete (with {env_file})" if env_file else "complete"))
    return complete, findings


def provisioning(env_file: Path | None) -> ProvisioningSettings:
    """Returns what the operator wants of the streams: replicas and sizes."""
    settings: Any = ProvisioningSettings
    try:
        return settings(_env_file=env_file)  # type: ignore[no-any-return]
    except ValidationError:  # of another setting, which has its own finding
        return ProvisioningSettings.model_construct()


def passwords(nats_url: str, env_file: Path | None) -> dict[str, str]:
    """Returns the passwords of NATS users from `nats_url`, from a `make up` in this folder and from the environment."""
    fields: dict[str, Any] = {user.password_variable.lower(): (str, "") for user in users()}
    settings: Any = create_model("Passwords", __base__=ServiceSettings, **fields)
    try:
        configured = settings(_env_file=env_file).model_dump()
    except ValidationError:  # of another setting, which has its own finding
        configured = {}
    found = {
        user.name: find_password(nats_url, user.name) or configured.get(user.password_variable.lower(), "")
        for user in users()
    }
    return {name: password for name, password in found.items() if password}


def _is_compose_file(env_file: Path | None) -> bool:
    """Returns whether the file is compose's ``.env``: only that contains NATS_PASSWORD_… of the users."""
    values = dotenv_values(env_file) if env_file else {}
    return any(values.get(user.password_variable) for user in users())


def _finding(module: str, detail: Any, *, is_compose: bool) -> Finding:
    name = "_".join(str(part) for part in detail["loc"]).upper() or "settings"
    if is_compose and name in SET_BY_COMPOSE and detail["type"] == "missing":
        return skipped(AREA, f"{module}: {name}", "set by compose itself")
    message = "not set" if detail["type"] == "missing" else str(detail["msg"]).removeprefix("Value error, ")
    advice = f"set {name} in the environment of {module}; .env.example describes it"
    return failed(AREA, f"{module}: {name}", message, advice)
