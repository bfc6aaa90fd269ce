"""Every service of the compose file and every unit for hosts, as shipped: their own commands, settings, health checks.

No container is started: each command runs here with what its container or unit would get, names of hosts, ports and
folders replaced by those of this machine. What can only be looked at (Dockerfile, sandboxing) is linted.
"""

import configparser
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from stumble.local.ports import LOOPBACK, free_port
from tests.integration.deployment import stack
from tests.support.alertmanager import require_alertmanager
from tests.support.prometheus import require_prometheus
from tests.support.services import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yml").read_text())
SERVICES = COMPOSE["services"]
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
ROLES = ("relay", "projector", "alerter", "bridge")
pytestmark = pytest.mark.xdist_group("shipped")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Kafka, PostgreSQL and the schema registry as the compose file sets them, and where all is here."""
    folder = tmp_path_factory.mktemp("shipped")
    here, made = stack.Place(folder), []
    try:
        made.append(kafka := stack.broker(folder / "kafka", SERVICES["kafka"]["environment"]))  # starts meanwhile
        server, address = stack.database(folder / "postgres", SERVICES["postgres"]["environment"])
        made.append(server)
        made.append(registry := stack.registry(folder / "registry"))
        kafka.wait()
        here.put("kafka:9092", kafka.bootstrap_servers)
        here.put("postgres:5432", address)
        here.put("http://registry:8080", registry.url.removesuffix("/apis/ccompat/v7"))
        here.put("http://127.0.0.1:8080", registry.url.removesuffix("/apis/ccompat/v7"))
        here.put("/var/lib/stumble/outbox", str(folder / "outbox"))
        here.put("/etc/stumble/bridge.toml", str(folder / "bridge.toml"))
        for name in ("8686", "9090", "9093"):
            here.put(f"127.0.0.1:{name}", f"{LOOPBACK}:{free_port()}")
        here.put("alertmanager:9093", here.text("127.0.0.1:9093"))
        for role, port in stack.programs(*ROLES).items():
            here.put(f"{role}:9100", f"{LOOPBACK}:{port}")
        told = stack.once(command(here, "topics"), settings(here, "topics"))
        assert (told.count("created"), told.count("FULL_TRANSITIVE")) == (5, 4)
        stack.once(command(here, "migrate"), settings(here, "migrate"))
        yield here
    finally:
        for server in reversed(made):
            server.stop()


def settings(place, name):
    """What a service of the compose file finds in its environment."""
    given = SERVICES[name]["environment"]
    found = {key: place.text(value) for key, value in given.items() if not key.startswith("STUMBLE_METRICS")}
    if name in ROLES:
        found |= {"STUMBLE_METRICS_HOST": LOOPBACK, "STUMBLE_METRICS_PORT": metrics_port(place, name)}
    return found


def metrics_port(place, name):
    return place.text(f"{name}:9100").rpartition(":")[2]


def command(place, name):
    port = place.text("127.0.0.1:8686").rpartition(":")[2]
    return stack.CLI + [port if word == "8686" else word for word in SERVICES[name]["command"]]


def health(place, name):
    """The health check of a service as it is run here."""
    _, program, *words = SERVICES[name]["healthcheck"]["test"]
    text = [place.text(word.replace("127.0.0.1:9100", f"{name}:9100")) for word in words]
    return [sys.executable if program == "python" else program, *text]


def test_every_service_is_known_here():
    ours = {name for name, service in SERVICES.items() if service["image"] == "stumble"}
    assert ours == {"migrate", "topics", "relay", "projector", "alerter", "api", "simulator", "bridge"}
    others = {"kafka", "registry", "postgres", "prometheus", "alertmanager", "grafana"}
    assert set(SERVICES) == ours | others
    lasting = set(SERVICES) - {"migrate", "topics", "simulator"}
    assert {name for name in lasting if "healthcheck" not in SERVICES[name]} == set()
    assert all(":" in SERVICES[name]["image"] for name in others), "versions of images are named"
    named = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert {name for name in named if "/" not in name} == set(COMPOSE["volumes"])
    for path in (name for name in named if "/" in name):
        assert (DEPLOY / "compose" / path).exists(), path
    for service in SERVICES.values():
        for address in service.get("ports", ()):
            assert address.startswith("127.0.0.1:")


def test_compose_services_do_their_work(place):
    require_prometheus()
    require_alertmanager()
    folder, running = place.folder, []
    (folder / "bridge.toml").write_text(kafka_transport(place))
    try:
        for name in ("relay", "projector", "alerter", "api", "bridge", "simulator"):
            service = stack.Service(name, folder, command(place, name), settings(place, name))
            running.append(service)
            service.start()
        for server in (alertmanager(place), prometheus(place)):
            running.append(server)
            server.start()
        for service in running:
            if service.name in SERVICES and "healthcheck" in SERVICES[service.name]:
                service.healthy(health(place, service.name))
        registry_health(place)
        until(lambda: asked(place, "127.0.0.1:8686", "/v1/failures?since=1h")["items"], "no failure came through")
        up = '/api/v1/query?query=count(up%7Bjob%3D~"stumble.*"%7D==1)'
        targets = len(re.findall(r'"[a-z0-9.]+:\d+"', (DEPLOY / "prometheus" / "prometheus.yml").read_text())) - 1
        until(lambda: series(asked(place, "127.0.0.1:9090", up)) == targets, "Prometheus doesn't reach all")
        until(lambda: asked(place, "127.0.0.1:9093", "/api/v2/alerts"), "no alert reached Alertmanager")
        found = checked(place)
        assert not [item for item in found if item[0] == "wrong"]
    finally:
        ends = {service.name: service.stop() for service in reversed(running)}
    assert ends == dict.fromkeys(ends, 0)


def kafka_transport(place):
    """The shipped settings of the bridge, with a bus that is here."""
    shipped = (DEPLOY / "compose" / "bridge.toml").read_text()
    return re.sub(r"rabbit://[^\"]*", f"kafka://{place.text('kafka:9092')}/", shipped)


def checked(place):
    """What `stumble check` finds in the place of the alerter, and of the relay."""
    environment = settings(place, "alerter") | {"STUMBLE_SECRETS_DIR": ""}
    done = subprocess.run(
        [*stack.CLI, "check", "--json"],
        env=stack.cli_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    checks = json.loads(done.stdout)["checks"]
    # This PostgreSQL is a test's: it never waits for its disk.
    return [
        (one["level"], check["name"], one["says"])
        for check in checks
        for one in check["findings"]
        if "fsync" not in one["says"]
    ]


def alertmanager(place):
    words = [
        word.replace("/etc/alertmanager", str(DEPLOY / "alertmanager")) for word in SERVICES["alertmanager"]["command"]
    ]
    words = [word.replace("/alertmanager", str(place.folder / "am")) if "storage" in word else word for word in words]
    listen = place.text("127.0.0.1:9093")
    program = str(shutil.which("prometheus-alertmanager"))
    more = [f"--web.listen-address={listen}", "--cluster.listen-address="]
    return stack.Service("alertmanager", place.folder, [program, *words, *more], {})


def prometheus(place):
    folder = place.folder / "prometheus"
    folder.mkdir()
    for name in ("prometheus.yml", "stumble.rules.yml"):
        text = place.text((DEPLOY / "prometheus" / name).read_text())
        (folder / name).write_text(text.replace("15s", "1s").replace("localhost", LOOPBACK))
    words = [word.replace("/etc/prometheus", str(folder)) for word in SERVICES["prometheus"]["command"]]
    words = [word.replace("=/prometheus", f"={folder / 'data'}") for word in words]
    words.append(f"--web.listen-address={place.text('127.0.0.1:9090')}")
    return stack.Service("prometheus", place.folder, [str(shutil.which("prometheus")), *words], {})


def registry_health(place):
    subprocess.run(health(place, "registry"), check=True, capture_output=True, timeout=30)


def asked(place, name, path):
    with urllib.request.urlopen(f"http://{place.text(name)}{path}", timeout=60) as answer:
        return json.load(answer)


def series(answer):
    found = answer["data"]["result"]
    return int(found[0]["value"][1]) if found else 0


def until(question, complaint, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := question()):
        assert time.monotonic() < deadline, complaint
        time.sleep(0.5)
    return found


def unit_of(path):
    parser = configparser.RawConfigParser(strict=False, comment_prefixes=("#",))
    parser.optionxform = str
    parser.read_string(path.read_text())
    return parser["Service"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_are_sound_and_sandboxed(path, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd isn't installed: apt-get install systemd")
    copy = tmp_path / path.name
    copy.write_text(path.read_text().replace("/opt/stumble/bin/stumble", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    judged = ["systemd-analyze", "security", "--offline=yes", "--threshold=25", str(copy)]
    done = subprocess.run(judged, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


def test_units_run_their_commands_with_the_shipped_settings(place, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "database_url").write_text(place.text(SERVICES["api"]["environment"]["STUMBLE_DATABASE_URL"]) + "\n")
    (secrets / "database_url").chmod(0o600)
    running = []
    try:
        for path in UNITS:
            unit = unit_of(path)
            program, *words = unit["ExecStart"].split()
            assert program == "/opt/stumble/bin/stumble"
            variable, _, file = unit["Environment"].partition("=")
            config = tmp_path / f"{path.stem}.toml"
            config.write_text(shipped_settings(place, DEPLOY / "systemd" / Path(file).name, tmp_path))
            environment = {variable: str(config)}
            if "LoadCredential" in unit:
                name, _, source = unit["LoadCredential"].partition(":")
                assert (name, source) == ("database_url", "/etc/stumble/secrets/database_url")
                environment["CREDENTIALS_DIRECTORY"] = str(secrets)  # what systemd makes of it
            if words == ["api"]:
                environment["STUMBLE_API_PORT"] = "0"
            if "--metrics-port" in words:
                words[-1] = metrics_port(place, words[0])
            running.append(stack.Service(path.stem, tmp_path, [*stack.CLI, *words], environment))
            running[-1].start()
        for role in ROLES:
            url = f"http://{place.text(f'{role}:9100')}/metrics"
            service = next(item for item in running if item.name == f"stumble-{role}")
            service.healthy([sys.executable, "-c", f"import urllib.request as u; u.urlopen({url!r}, timeout=20)"])
        until(lambda: "API and web pages" in log(running, "stumble-api"), "the API isn't up")
        time.sleep(2)  # a role whose settings are wrong ends at once
        for service in running:
            service.process.require_running()
    finally:
        ends = {service.name: service.stop() for service in running}
    assert ends == dict.fromkeys(ends, 0)


def log(running, name):
    return next(item for item in running if item.name == name).process.log.read_text()


def shipped_settings(place, path, folder):
    text = path.read_text()
    text = text.replace("kafka1.example.org:9092,kafka2.example.org:9092", place.text("kafka:9092"))
    text = re.sub(r"rabbit://[^\"]*", f"kafka://{place.text('kafka:9092')}/", text)
    text = text.replace("/var/lib/stumble", str(folder / "state"))
    for shipped, role in {"8689": "relay", "8690": "bridge"}.items():
        text = text.replace(f"metrics_port = {shipped}", f"metrics_port = {metrics_port(place, role)}")
    assert "example.org:9092" not in re.sub(r"^#.*", "", text, flags=re.MULTILINE)
    return text


def test_files_for_prometheus_and_alertmanager_are_sound():
    require_prometheus()
    require_alertmanager()
    for words in (
        ["promtool", "check", "config", "prometheus.yml"],
        ["amtool", "check-config", "../alertmanager/alertmanager.yml"],
    ):
        done = subprocess.run(words, cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_is_made_as_the_linter_wants_it():
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), "--failure-threshold", "info", DEPLOY / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE), "not root, and by number"


def clients():
    """Clients of Compose on this machine; there need not be one."""
    for words in (["docker", "compose"], ["docker-compose"]):
        known = shutil.which(words[0]) and subprocess.run([*words, "version"], capture_output=True, check=False)
        if known and known.returncode == 0:
            yield words


def test_compose_itself_understands_the_file():
    for words in clients():
        done = subprocess.run(
            [*words, "-f", DEPLOY / "compose" / "compose.yml", "--profile", "*", "config", "--quiet"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
