"""Every service of the compose file and every systemd unit, with the shipped commands, settings and health checks.

No container is started: each command runs on this machine with the settings of its container or unit; hosts, ports
and folders are replaced by local ones. What cannot run here (Dockerfile, sandboxing) is linted.
"""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from stumble.alerts.secret_cipher import new_key
from stumble.local.kafka import LocalKafka
from stumble.local.ports import LOOPBACK, free_port
from stumble.local.postgres import LocalPostgres
from stumble.local.registry import LocalRegistry
from tests.integration.deployment import stack
from tests.support.alertmanager import require_alertmanager
from tests.support.prometheus import require_prometheus
from tests.support.services import ROOT

DEPLOY = ROOT / "deploy"
#: Variables that the user must set, from the file .env or the environment.
VARIABLES = {"POSTGRES_PASSWORD": "a-password-of-this-test"}
SHIPPED_COMPOSE = (DEPLOY / "compose" / "compose.yml").read_text()
COMPOSE = yaml.safe_load(re.sub(r"\$\{(\w+):\?[^}]+\}", lambda match: VARIABLES[match[1]], SHIPPED_COMPOSE))
SERVICES = COMPOSE["services"]
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
ROLES = ("relay", "projector", "alerter", "bridge")
pytestmark = pytest.mark.xdist_group("shipped")


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """Kafka, PostgreSQL and the schema registry with the settings of the compose file; yields their addresses."""
    folder = tmp_path_factory.mktemp("shipped")
    addresses = stack.LocalAddresses(folder)
    servers: list[LocalKafka | LocalPostgres | LocalRegistry] = []
    try:
        kafka = stack.broker(folder / "kafka", SERVICES["kafka"]["environment"])
        servers.append(kafka)  # it starts in the background
        postgres, address = stack.database(folder / "postgres", SERVICES["postgres"]["environment"])
        servers.append(postgres)
        servers.append(registry := stack.registry(folder / "registry"))
        kafka.wait()
        addresses.add("kafka:9092", kafka.bootstrap_servers)
        addresses.add("postgres:5432", address)
        addresses.add("http://registry:8080", registry.url.removesuffix("/apis/ccompat/v7"))
        addresses.add("http://127.0.0.1:8080", registry.url.removesuffix("/apis/ccompat/v7"))
        addresses.add("/var/lib/stumble/outbox", str(folder / "outbox"))
        addresses.add("/etc/stumble/bridge.toml", str(folder / "bridge.toml"))
        for name in ("8686", "9090", "9093"):
            addresses.add(f"127.0.0.1:{name}", f"{LOOPBACK}:{free_port()}")
        addresses.add("alertmanager:9093", addresses.localize("127.0.0.1:9093"))
        for role, port in stack.ports_of(*ROLES).items():
            addresses.add(f"{role}:9100", f"{LOOPBACK}:{port}")
        output = stack.once(command(addresses, "topics"), settings(addresses, "topics"))
        assert (output.count("created"), output.count("FULL_TRANSITIVE")) == (5, 4)
        stack.once(command(addresses, "migrate"), settings(addresses, "migrate"))
        yield addresses
    finally:
        for server in reversed(servers):
            server.stop()


def settings(addresses, name):
    """Return the environment of a service of the compose file."""
    shipped = SERVICES[name]["environment"]
    environment = {
        key: addresses.localize(value) for key, value in shipped.items() if not key.startswith("STUMBLE_METRICS")
    }
    if users := environment.get("STUMBLE_RELAY_BRIDGE_USERS"):
        assert f"USER {users}\n" in (DEPLOY / "Dockerfile").read_text()
        environment["STUMBLE_RELAY_BRIDGE_USERS"] = str(os.geteuid())  # the processes of this test run as its user
    if name in ROLES:
        environment |= {"STUMBLE_METRICS_HOST": LOOPBACK, "STUMBLE_METRICS_PORT": metrics_port(addresses, name)}
    return environment


def metrics_port(addresses, name):
    return addresses.localize(f"{name}:9100").rpartition(":")[2]


def command(addresses, name):
    port = addresses.localize("127.0.0.1:8686").rpartition(":")[2]
    return stack.CLI + [port if word == "8686" else word for word in SERVICES[name]["command"]]


def health_command(addresses, name):
    """Return the health check command of a service with local addresses."""
    _, program, *words = SERVICES[name]["healthcheck"]["test"]
    text = [addresses.localize(word.replace("127.0.0.1:9100", f"{name}:9100")) for word in words]
    return [sys.executable if program == "python" else program, *text]


def test_compose_file_has_only_known_services():
    stumble_services = {name for name, service in SERVICES.items() if service["image"] == "stumble"}
    assert stumble_services == {"migrate", "topics", "relay", "projector", "alerter", "api", "simulator", "bridge"}
    others = {"kafka", "registry", "postgres", "prometheus", "alertmanager", "grafana"}
    assert set(SERVICES) == stumble_services | others
    long_running = set(SERVICES) - {"migrate", "topics", "simulator"}
    assert {name for name in long_running if "healthcheck" not in SERVICES[name]} == set()
    assert "$" not in str(COMPOSE), "every variable has a sentence that says what to do"
    named = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert {name for name in named if "/" not in name} == set(COMPOSE["volumes"])
    for path in (name for name in named if "/" in name):
        assert (DEPLOY / "compose" / path).exists(), path
    for service in SERVICES.values():
        for address in service.get("ports", ()):
            assert address.startswith("127.0.0.1:")


def base_images(dockerfile):
    """Return the images that a Dockerfile fetches: those of FROM lines that do not name an earlier stage."""
    stages = re.findall(r"^FROM +(\S+)(?: +AS +(\S+))?$", dockerfile, re.MULTILINE | re.IGNORECASE)
    copied = re.findall(r"--from=(\S+)", dockerfile)
    return {image for image in [*(image for image, _ in stages), *copied] if image not in {name for _, name in stages}}


def test_every_image_is_named_by_version_and_digest():
    images = {service["image"] for service in SERVICES.values() if "build" not in service}
    images |= base_images((DEPLOY / "Dockerfile").read_text())
    assert len(images) == 7
    assert [image for image in images if not re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image)] == []


def test_compose_file_contains_no_password():
    shipped = yaml.safe_load(SHIPPED_COMPOSE)["services"].values()
    values = [item for service in shipped for item in service.get("environment", {}).items()]
    passwords = {value for name, value in values if "PASSWORD" in name}
    assert len(passwords) == 1
    assert passwords.pop().startswith("${POSTGRES_PASSWORD:?")
    assert [value for _, value in values if re.search(r"://[^/@]*:[^/@]*@", value)] == []


def test_compose_services_work_together(addresses):
    require_prometheus()
    require_alertmanager()
    folder, running = addresses.folder, []
    (folder / "bridge.toml").write_text(kafka_transport(addresses))
    try:
        for name in ("relay", "projector", "alerter", "api", "bridge", "simulator"):
            service = stack.Service(name, folder, command(addresses, name), settings(addresses, name))
            running.append(service)
            service.start()
        for server in (alertmanager(addresses), prometheus(addresses)):
            running.append(server)
            server.start()
        for service in running:
            if service.name in SERVICES and "healthcheck" in SERVICES[service.name]:
                service.healthy(health_command(addresses, service.name))
        registry_health(addresses)
        until(
            lambda: get_json(addresses, "127.0.0.1:8686", "/v1/failures?since=1h")["items"], "no failure came through"
        )
        up = '/api/v1/query?query=count(up%7Bjob%3D~"stumble.*"%7D==1)'
        targets = len(re.findall(r'"[a-z0-9.]+:\d+"', (DEPLOY / "prometheus" / "prometheus.yml").read_text())) - 1
        until(lambda: first_value(get_json(addresses, "127.0.0.1:9090", up)) == targets, "Prometheus doesn't reach all")
        until(lambda: get_json(addresses, "127.0.0.1:9093", "/api/v2/alerts"), "no alert reached Alertmanager")
        results = check_results(addresses)
        assert not [item for item in results if item[0] == "wrong"]
    finally:
        ends = {service.name: service.stop() for service in reversed(running)}
    assert ends == dict.fromkeys(ends, 0)


def kafka_transport(addresses):
    """Return the shipped settings of the bridge, with a local bus."""
    shipped = (DEPLOY / "compose" / "bridge.toml").read_text()
    return re.sub(r"rabbit://[^\"]*", f"kafka://{addresses.localize('kafka:9092')}/", shipped)


def check_results(addresses):
    """Return the results of `stumble check` with the environment of the alerter."""
    environment = settings(addresses, "alerter") | {"STUMBLE_SECRETS_DIR": ""}
    done = subprocess.run(
        [*stack.CLI, "check", "--json"],
        env=stack.cli_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    checks = json.loads(done.stdout)["checks"]
    # PostgreSQL runs without fsync in this test.
    return [
        (one["level"], check["name"], one["says"])
        for check in checks
        for one in check["findings"]
        if "fsync" not in one["says"]
    ]


def alertmanager(addresses):
    words = [
        word.replace("/etc/alertmanager", str(DEPLOY / "alertmanager")) for word in SERVICES["alertmanager"]["command"]
    ]
    words = [
        word.replace("/alertmanager", str(addresses.folder / "am")) if "storage" in word else word for word in words
    ]
    listen = addresses.localize("127.0.0.1:9093")
    program = str(shutil.which("prometheus-alertmanager"))
    more = [f"--web.listen-address={listen}", "--cluster.listen-address="]
    return stack.Service("alertmanager", addresses.folder, [program, *words, *more], {})


def prometheus(addresses):
    folder = addresses.folder / "prometheus"
    folder.mkdir()
    for name in ("prometheus.yml", "stumble.rules.yml"):
        text = addresses.localize((DEPLOY / "prometheus" / name).read_text())
        (folder / name).write_text(text.replace("15s", "1s").replace("localhost", LOOPBACK))
    words = [word.replace("/etc/prometheus", str(folder)) for word in SERVICES["prometheus"]["command"]]
    words = [word.replace("=/prometheus", f"={folder / 'data'}") for word in words]
    words.append(f"--web.listen-address={addresses.localize('127.0.0.1:9090')}")
    return stack.Service("prometheus", addresses.folder, [str(shutil.which("prometheus")), *words], {})


def registry_health(addresses):
    subprocess.run(health_command(addresses, "registry"), check=True, capture_output=True, timeout=30)


def get_json(addresses, name, path):
    with urllib.request.urlopen(f"http://{addresses.localize(name)}{path}", timeout=60) as answer:
        return json.load(answer)


def first_value(answer):
    result = answer["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


def until(condition, message, seconds=120):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, message
        time.sleep(0.5)
    return value


class UnitParser(configparser.RawConfigParser):
    """Keeps upper case in the names of options."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit_of(path):
    parser = UnitParser(strict=False, comment_prefixes=("#",))
    parser.read_string(path.read_text())
    return parser["Service"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_units_are_valid_and_sandboxed(path, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd isn't installed: apt-get install systemd")
    copy = tmp_path / path.name
    copy.write_text(path.read_text().replace("/opt/stumble/bin/stumble", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    command_line = ["systemd-analyze", "security", "--offline=yes", "--threshold=25", str(copy)]
    done = subprocess.run(command_line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


def test_systemd_units_run_with_the_shipped_settings(addresses, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "database_url").write_text(
        addresses.localize(SERVICES["api"]["environment"]["STUMBLE_DATABASE_URL"]) + "\n"
    )
    (secrets / "database_url").chmod(0o600)
    (secrets / "subscription_keys").write_text(new_key())
    running = []
    try:
        for path in UNITS:
            unit = unit_of(path)
            program, *words = unit["ExecStart"].split()
            assert program == "/opt/stumble/bin/stumble"
            environment = dict(re.findall(r"^Environment=(\w+)=(.*)$", path.read_text(), re.MULTILINE))
            config = tmp_path / f"{path.stem}.toml"
            for name, value in environment.items():
                if value.endswith(".toml"):
                    config.write_text(shipped_settings(addresses, DEPLOY / "systemd" / Path(value).name, tmp_path))
                    environment[name] = str(config)
                else:
                    assert value == f"/var/lib/{unit['StateDirectory']}"
                    environment[name] = str(tmp_path)
            if credentials := re.findall(r"^LoadCredential=(\w+):(.*)$", path.read_text(), re.MULTILINE):
                assert {name for name, _ in credentials} <= {file.name for file in secrets.iterdir()}
                assert all(source == f"/etc/stumble/secrets/{name}" for name, source in credentials)
                environment["CREDENTIALS_DIRECTORY"] = str(secrets)  # systemd sets this variable
            if words == ["api"]:
                environment["STUMBLE_API_PORT"] = "0"
            if "--metrics-port" in words:
                words[-1] = metrics_port(addresses, words[0])
            running.append(stack.Service(path.stem, tmp_path, [*stack.CLI, *words], environment))
            running[-1].start()
        for role in ROLES:
            url = f"http://{addresses.localize(f'{role}:9100')}/metrics"
            service = next(item for item in running if item.name == f"stumble-{role}")
            service.healthy([sys.executable, "-c", f"import urllib.request as u; u.urlopen({url!r}, timeout=20)"])
        until(lambda: "API and web pages" in log(running, "stumble-api"), "the API isn't up")
        time.sleep(2)  # a role with invalid settings ends immediately
        for service in running:
            service.process.require_running()
    finally:
        ends = {service.name: service.stop() for service in running}
    assert ends == dict.fromkeys(ends, 0)


def log(running, name):
    return next(item for item in running if item.name == name).process.log.read_text()


def shipped_settings(addresses, path, folder):
    text = path.read_text()
    text = text.replace("kafka1.example.org:9092,kafka2.example.org:9092", addresses.localize("kafka:9092"))
    text = re.sub(r"rabbit://[^\"]*", f"kafka://{addresses.localize('kafka:9092')}/", text)
    text = text.replace("/var/lib/stumble", str(folder / "state"))
    for shipped, role in {"8689": "relay", "8690": "bridge"}.items():
        text = text.replace(f"metrics_port = {shipped}", f"metrics_port = {metrics_port(addresses, role)}")
    assert "example.org:9092" not in re.sub(r"^#.*", "", text, flags=re.MULTILINE)
    return text


def test_prometheus_and_alertmanager_files_are_valid():
    require_prometheus()
    require_alertmanager()
    for words in (
        ["promtool", "check", "config", "prometheus.yml"],
        ["amtool", "check-config", "../alertmanager/alertmanager.yml"],
    ):
        done = subprocess.run(words, cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_dockerfile_passes_the_linter_and_sets_a_numeric_user():
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), "--failure-threshold", "info", DEPLOY / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE), "not root, and by number"


def compose_clients():
    """Yield the Compose clients of this machine, possibly none."""
    for words in (["docker", "compose"], ["docker-compose"]):
        known = shutil.which(words[0]) and subprocess.run([*words, "version"], capture_output=True, check=False)
        if known and known.returncode == 0:
            yield words


def test_compose_references_exist_and_installed_clients_accept_the_file():
    for name, service in SERVICES.items():
        for other, start in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            assert start["condition"] != "service_healthy" or "healthcheck" in SERVICES[other], name
        mode, _, other = service.get("network_mode", "").partition(":")
        assert mode != "service" or other in SERVICES, name
        assert set(service.get("networks", ())) <= set(COMPOSE["networks"]), name
    for words in compose_clients():
        done = subprocess.run(
            [*words, "-f", DEPLOY / "compose" / "compose.yml", "--profile", "*", "config", "--quiet"],
            env=os.environ | VARIABLES,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
