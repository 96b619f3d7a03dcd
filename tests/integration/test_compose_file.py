"""What docker-compose.yml, Dockerfile and .env.example promise together, read from the files themselves: no Docker needed."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.embedded.postgres import SESSION_MEMORY_BYTES
from service.settings import PRIVILEGED, InitSettings, LocalSettings

PROJECT = Path(__file__).resolve().parents[2]
TEXT = (PROJECT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LONG_RUNNING = [name for name, service in SERVICES.items() if service["restart"] != "no"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "pixref:local"]

VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<rest>[^}]*)")
LINE = re.compile(r"^(?P<comment>#?)(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$", re.MULTILINE)
FIRST_START = 'run "make env" first, it writes .env with random secrets'

# What only these may see; everything else of theirs is ordinary.
SEEN_BY = {
    "PIXREF_DB_ROOT_PASSWORD": {"db", "init"},
    "PIXREF_DB_PASSWORD": {"init", "web", "worker"},
    "PIXREF_S3_ROOT_USER": {"store", "init"},
    "PIXREF_S3_ROOT_PASSWORD": {"store", "init"},
    "PIXREF_S3_ACCESS_KEY": {"init", "web", "worker"},
    "PIXREF_S3_SECRET_KEY": {"init", "web", "worker"},
    "PIXREF_SECRET_KEY": {"init", "web", "worker"},
    "PIXREF_READER_PASSWORD": {"init", "worker", "pgadmin"},
    "PIXREF_ANALYST_PASSWORD": {"init", "worker", "pgadmin"},
    "PIXREF_ADMIN_TOKEN": {"init"},
    "PGADMIN_PASSWORD": {"pgadmin"},
}


def used_in(part: object) -> set[str]:
    return {match["name"] for match in VARIABLE.finditer(json.dumps(part))}


def example() -> Mapping[str, tuple[bool, str]]:
    """Return every variable of .env.example: whether its line is active, and its value."""
    text = (PROJECT / ".env.example").read_text()
    return {match["name"]: (not match["comment"], match["value"]) for match in LINE.finditer(text)}


def test_services_are_those_of_the_design() -> None:
    assert set(SERVICES) == {"db", "store", "init", "web", "worker", "pgadmin"}
    assert {name for name, service in SERVICES.items() if service.get("profiles")} == {"pgadmin"}
    assert OURS == ["init", "web", "worker"]


@pytest.mark.parametrize(
    ("service", "inside", "variable", "default"),
    [
        ("web", 8000, "PIXREF_PORT", 8000),
        ("store", 9000, "S3_PORT", 9000),
        ("db", 5432, "DB_PORT", 5437),
        ("pgadmin", 5050, "PGADMIN_PORT", 5050),
    ],
)
def test_the_only_port_is_on_loopback_and_can_be_set(service: str, inside: int, variable: str, default: int) -> None:
    assert SERVICES[service]["ports"] == [f"127.0.0.1:${{{variable}:-{default}}}:{inside}"]
    assert example()[variable] == (True, str(default))


def test_nothing_else_is_reachable_from_outside() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"web", "store", "db", "pgadmin"}
    assert not [name for name, service in SERVICES.items() if {"network_mode", "privileged", "devices"} & set(service)]


def test_what_opens_foreign_model_files_has_no_way_out() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert SERVICES["init"]["networks"] == SERVICES["worker"]["networks"] == ["inside"]


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_unprivileged_and_limited(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["pids_limit"] > 0
    assert re.fullmatch(r"\d+g", service["mem_limit"])
    assert all(re.search(r":(.*,)?size=\d+m\b", entry) for entry in service["tmpfs"])
    # The store's image has no user of its own; without capabilities its root can only what any owner of /data can.
    assert service.get("user", "root") in {"10001:10001", "postgres", "5050:0"} or name == "store"


def test_one_session_of_the_database_cannot_take_all_its_memory() -> None:
    assert SERVICES["db"]["ulimits"] == {"data": SESSION_MEMORY_BYTES}


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_long_running_service_has_a_health_check_and_comes_back(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} < set(check)


def test_each_service_waits_for_what_it_needs() -> None:
    ready = {name: {"condition": "service_healthy"} for name in ("db", "store")}
    done = {"init": {"condition": "service_completed_successfully"}}
    assert SERVICES["init"]["depends_on"] == ready
    assert SERVICES["web"]["depends_on"] == SERVICES["worker"]["depends_on"] == ready | done
    assert SERVICES["pgadmin"]["depends_on"] == done


@pytest.mark.parametrize("name", SERVICES)
def test_image_is_named_with_a_tag(name: str) -> None:
    image = VARIABLE.sub(lambda match: match["rest"].removeprefix(":-"), SERVICES[name]["image"]).replace("}", "")
    assert re.fullmatch(r"[\w./-]+:(?!latest)[\w.-]+", image)


def test_one_image_is_built_once_for_all_of_ours() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["init"]
    assert {SERVICES[name]["pull_policy"] for name in OURS} == {"never"}


@pytest.mark.parametrize(("variable", "services"), SEEN_BY.items())
def test_secret_is_seen_by_whom_it_concerns(variable: str, services: set[str]) -> None:
    assert {name for name, service in SERVICES.items() if variable in used_in(service)} == services
    assert example()[variable] == (True, "change-me")


def test_every_secret_has_no_default_and_says_where_it_comes_from() -> None:
    endings = {match["rest"] for match in VARIABLE.finditer(TEXT) if match["name"] in SEEN_BY}
    assert endings == {f":?{FIRST_START}"}
    active_secrets = {name for name, (active, value) in example().items() if active and value == "change-me"}
    assert active_secrets == set(SEEN_BY)


def test_every_variable_of_the_example_is_used_and_every_used_one_is_in_it() -> None:
    active = {name for name, (is_active, _) in example().items() if is_active}
    commented = set(example()) - active
    assert used_in(COMPOSE) == active | {"S3_PUBLIC_ENDPOINT", "S3_IMAGE"}
    settings = {str(field.validation_alias) for each in (InitSettings, LocalSettings) for field in each.model_fields.values()}
    assert settings <= active | commented
    # `make run` reads the same .env and starts servers of its own: what names a server or opens one must not come from it unasked.
    opens = {"DATABASE_URL", "DATABASE_ADMIN_URL", "S3_ENDPOINT", "S3_PUBLIC_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY"}
    assert opens | {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"} <= commented


def test_defaults_are_the_same_in_all_three_places() -> None:
    in_compose = {
        match["name"]: match["rest"].removeprefix(":-") for match in VARIABLE.finditer(TEXT) if match["rest"].startswith(":-")
    }
    in_compose.pop("S3_PUBLIC_ENDPOINT")  # made from S3_PORT
    assert in_compose == {name: value for name, (_, value) in example().items() if name in in_compose}
    fields = {str(field.validation_alias): field for field in InitSettings.model_fields.values()}
    for name in set(in_compose) & set(fields):
        assert in_compose[name] == json.dumps(fields[name].default).strip('"')


def test_every_variable_of_the_example_is_explained_in_the_line_above() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    for above, line in pairwise(lines):
        if match := LINE.match(line):
            assert above.startswith("# "), f"{match['name']} has no comment above it"


def test_application_gets_only_settings_that_it_knows() -> None:
    known = {str(field.validation_alias) for field in InitSettings.model_fields.values()}
    clients = {"PIXREF_READER_PASSWORD", "PIXREF_ANALYST_PASSWORD"}
    guarded = PRIVILEGED | clients
    allowed: dict[str, AbstractSet[str]] = {"init": guarded, "worker": clients, "web": set()}
    for name in OURS:
        given = set(SERVICES[name]["environment"])
        assert given <= known
        assert given & guarded == allowed[name]


def test_data_is_in_named_volumes_and_the_models_folder_is_mounted() -> None:
    assert SERVICES["db"]["volumes"] == ["db-data:/var/lib/postgresql"]
    assert SERVICES["store"]["volumes"] == ["store-data:/data"]
    assert set(COMPOSE["volumes"]) == {"db-data", "store-data"}
    assert SERVICES["init"]["volumes"] == SERVICES["worker"]["volumes"] == ["./models:/app/models:ro"]


def test_image_is_built_as_the_compose_file_expects() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in dockerfile
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["python:3.13-slim"] * 2
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == [SERVICES["web"]["user"]]
    assert "--require-hashes" in dockerfile
    assert not re.search(r"^\s*(ARG|ENV)\b.*(PASSWORD|SECRET|TOKEN|KEY)", dockerfile, re.MULTILINE)


def test_builder_is_sent_nothing_but_what_the_image_needs() -> None:
    lines = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {path.strip("/") for line in sources for path in line.split()}


def test_pgadmin_points_at_the_database_as_its_sql_clients() -> None:
    servers = list(json.loads((PROJECT / "deploy/pgadmin/servers.json").read_text())["Servers"].values())
    assert [server["Username"] for server in servers] == ["pixref_reader", "pixref_analyst"]
    script = SERVICES["pgadmin"]["entrypoint"][-1]
    for server in servers:
        assert (server["Host"], server["Port"], server["MaintenanceDB"]) == ("db", 5432, "pixref")
        assert "Password" not in server
        # pgAdmin looks for a relative password file in its user's own folder, where its start script copies PGPASS_FILE.
        assert server["ConnectionParameters"]["passfile"] == ".pgpass"
        assert f"db:5432:*:{server['Username']}:%s" in script


def test_starting_without_env_says_in_one_sentence_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed")
    for name in SEEN_BY:
        monkeypatch.delenv(name, raising=False)
    shutil.copy(PROJECT / "docker-compose.yml", tmp_path)
    started = subprocess.run(["docker", "compose", "up"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert started.returncode != 0
    [sentence] = started.stderr.strip().splitlines()
    assert FIRST_START in sentence
