"""Kafka with TLS, passwords and an authorizer, PostgreSQL with TLS; the certificates are made for each test."""

from __future__ import annotations

import os
import pwd
import secrets
import signal
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from stumble.local.kafka import LocalKafka
from stumble.local.ports import LOOPBACK, remembered_port
from stumble.local.process import ChildProcess

ADMIN = "admin"


class Authority:
    """A certificate authority with one certificate for the loopback address."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        leaf = authority.issue_cert(LOOPBACK, "localhost")
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        # Kafka reads only keys in PKCS #8 form.
        plain = load_pem_private_key(leaf.private_key_pem.bytes(), None)
        self.key = plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)


class SecureKafka:
    """One broker: an unprotected listener for itself, SASL_SSL with an authorizer for all clients."""

    def __init__(self, folder: Path, authority: Authority, users: list[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.passwords = {user: f"canary-{secrets.token_hex(8)}" for user in (ADMIN, *users)}
        self._authority = authority
        port, own, controller = (remembered_port(folder, name) for name in ("secure", "kafka", "kafka controller"))
        (folder / "broker.pem").write_bytes(authority.key + authority.chain)
        known = " ".join(f'user_{user}="{password}"' for user, password in self.passwords.items())
        listeners = f"BROKER://{LOOPBACK}:{own},SECURE://{LOOPBACK}:{port}"
        self.bootstrap_servers = f"{LOOPBACK}:{port}"
        self.server = LocalKafka(
            folder,
            heap="256m",
            quick=True,
            settings={
                "listeners": f"{listeners},CONTROLLER://{LOOPBACK}:{controller}",
                "advertised.listeners": listeners,
                "listener.security.protocol.map": "BROKER:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT",
                "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
                "listener.name.secure.plain.sasl.jaas.config": (
                    f"org.apache.kafka.common.security.plain.PlainLoginModule required {known};"
                ),
                "listener.name.secure.ssl.keystore.type": "PEM",
                "listener.name.secure.ssl.keystore.location": str(folder / "broker.pem"),
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": f"User:ANONYMOUS;User:{ADMIN}",
            },
        )

    def options(self, user: str) -> dict[str, Any]:
        """Return librdkafka's options to connect as a user, without the password."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "ssl.ca.location": str(self._authority.ca),
        }


class SecurePostgres:
    """PostgreSQL of Debian's package, because that of the wheel lacks TLS; it rejects connections without TLS."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self._folder, self._data = folder, folder / "data"
        self._user = "nobody" if os.geteuid() == 0 else None
        self.password = f"canary-{secrets.token_hex(8)}"
        self.port = remembered_port(folder, "postgres")
        self.process = ChildProcess("postgres", folder, death_signal=signal.SIGINT)
        self._data.mkdir(mode=0o700)
        for name, content in {"server.key": authority.key, "server.pem": authority.chain}.items():
            (folder / name).write_bytes(content)
        (folder / "password").write_text(self.password)
        for path in folder.iterdir():
            path.chmod(0o700 if path.is_dir() else 0o600)
            if self._user:
                entry = pwd.getpwnam(self._user)
                os.chown(path, entry.pw_uid, entry.pw_gid)

    def start(self) -> str:
        """Start the server and return the URL of a database."""
        programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
        if programs is None:
            pytest.skip("PostgreSQL with TLS isn't installed: apt-get install postgresql")
        folder = self._folder
        options = [f"--pgdata={self._data}", f"--pwfile={folder / 'password'}", "--username=stumble", "--no-sync"]
        init = ChildProcess("initdb", folder)
        init.run([programs / "initdb", *options, "--auth=scram-sha-256", "--encoding=UTF8"], user=self._user)
        (self._data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "ssl": "on",
            "ssl_cert_file": str(folder / "server.pem"),
            "ssl_key_file": str(folder / "server.key"),
        }
        arguments = [item for name, value in settings.items() for item in ("-c", f"{name}={value}")]
        self.process.start([programs / "postgres", "-D", self._data, *arguments], user=self._user)
        deadline = time.monotonic() + 60
        while True:
            self.process.require_running()
            try:
                address = f"stumble:{self.password}@{LOOPBACK}:{self.port}"
                psycopg.connect(f"postgresql://{address}/postgres?sslmode=require").close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL wasn't ready"
                time.sleep(0.05)
            else:
                return f"postgresql://{address}/postgres"

    def stop(self) -> None:
        """Stop the server."""
        self.process.stop(signal.SIGINT, timeout=20)
