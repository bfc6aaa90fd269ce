"""A small cloud of real Nova services: nova-api, conductor, scheduler and two computes (fake virt driver).

Built from Nova's own functional fixtures, with three differences that make it like production: the notifier
is the real one of oslo.messaging, configured by a nova.conf; each service has its own `CONF.host`; a request's
context has the request id of its response header.
"""

from __future__ import annotations

import contextlib
import logging
import pathlib
import sys
import time
import warnings
from typing import ClassVar

import nova.config
import nova.tests.functional
import oslo_messaging
from nova import context, exception, objects, rpc, test
from nova.db.main import api as db
from nova.policies import base as base_policies
from nova.policies import servers as servers_policies
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional import fixtures as func_fixtures
from nova.tests.functional import integrated_helpers

from novaharness import hosts, remote

COMPUTES = ("host1", "host2")
"""The computes; the scheduler prefers the first."""
OTHER_CELL_HOST = "host3"
"""A compute in a second cell, the scheduler's last choice; only a move to it by name crosses cells."""

_BASE = """[DEFAULT]
compute_driver = fake.FakeDriver

[quota]
instances = -1
cores = -1
ram = -1

[wsgi]
api_paste_config = {prefix}/etc/nova/api-paste.ini
"""


def write_conf(
    folder: pathlib.Path,
    stumble: dict[str, str],
    notification_format: str | None = None,
    drivers: tuple[str, ...] = ("stumble",),
    transport: str | None = None,
) -> pathlib.Path:
    """Write the nova.conf of the cloud: only the options that an operator would set.

    `stumble` is the section [stumble]; `notification_format` None leaves Nova's default. `transport` is the URL to
    which notifications go; all other messages stay inside the process.
    """
    lines = [_BASE.format(prefix=sys.prefix), "[oslo_messaging_notifications]"]
    lines += [f"driver = {name}" for name in drivers]
    lines += [f"transport_url = {transport}"] if transport else []
    if notification_format:
        lines += ["", "[notifications]", f"notification_format = {notification_format}"]
    if stumble:
        lines += ["", "[stumble]", *(f"{key} = {value}" for key, value in stumble.items())]
    path = folder / "nova.conf"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class _Conf(nova_fixtures.ConfFixture):  # type: ignore[misc]
    """Nova's test defaults, except those that change notifications."""

    def setUp(self):
        super().setUp()
        self.conf.clear_default("notification_format", group="notifications")


class _Warnings(nova_fixtures.WarningsFixture):  # type: ignore[misc]
    """Ignores warnings of libraries that are newer than the release."""

    def setUp(self):
        super().setUp()
        warnings.resetwarnings()
        warnings.simplefilter("ignore")


class _Api(nova_fixtures.OSAPIFixture):  # type: ignore[misc]
    """nova-api whose contexts have the request id of the response header (Nova's stub drops it)."""

    def _stub_keystone(self):
        super()._stub_keystone()

        def create(env, **kwargs):
            user = env["HTTP_X_AUTH_USER"]
            return context.RequestContext(
                user,
                env["HTTP_X_AUTH_PROJECT_ID"],
                is_admin=user == "admin",
                roles=env["HTTP_X_ROLES"].split(","),
                request_id=env["openstack.request_id"],
                global_request_id=env.get("openstack.global_request_id"),
                auth_token=env.get("HTTP_X_AUTH_TOKEN"),
                **kwargs,
            )

        self.useFixture(test.fixtures.MonkeyPatch("nova.api.auth.NovaKeystoneContext._create_context", create))


class Cloud(test.TestCase, integrated_helpers.PlacementInstanceHelperMixin):  # type: ignore[misc]
    """The cloud; `start` starts its services, `stop` stops them."""

    REQUIRES_LOCKING = True
    NUMBER_OF_CELLS = 2
    OPERATIONS: ClassVar = {
        "restart host1": lambda cloud: cloud.restart_compute("host1"),
        "confirm on host2": lambda cloud: cloud.periodic("host2", "_poll_unconfirmed_resizes"),
        "reclaim on host1": lambda cloud: cloud.periodic("host1", "_reclaim_queued_deletes"),
        "offload on host1": lambda cloud: cloud.periodic("host1", "_poll_shelved_instances"),
        "unrescue on host1": lambda cloud: cloud.periodic("host1", "_poll_rescued_instances"),
        "check builds on host1": lambda cloud: cloud.periodic("host1", "_check_instance_build_time"),
        "clean up migrations on host2": lambda cloud: cloud.periodic("host2", "_cleanup_incomplete_migrations"),
        "compare power states on host1": lambda cloud: cloud.periodic("host1", "_sync_power_states"),
        "a second goes by": lambda _cloud: time.sleep(1.1),
    }
    """What scenarios may do to the cloud besides API requests; each may return a request id."""

    def __init__(self, conf_file: pathlib.Path):
        super().__init__("runTest")
        self._conf_file = conf_file

    def runTest(self):  # noqa: N802 - unittest's name
        """Nothing: scenarios use the cloud."""

    def start(self) -> Cloud:
        """Start every service. The notifier loads the drivers of nova.conf here."""
        hosts.install()
        remote.install()
        self._read_conf_file()
        nova_fixtures.ConfFixture = _Conf
        nova_fixtures.WarningsFixture = _Warnings
        self.setUp()
        return self

    def restart_compute(self, host: str) -> None:
        """Stop the compute service of `host` and start a new one on the same hypervisor."""
        manager = self.computes[host].manager
        manager.cleanup_host = hosts.on_host(host, manager.cleanup_host)  # since Nova 34 in a thread of its own
        with hosts.playing(host):
            self.computes[host] = self.restart_compute_service(self.computes[host])

    def with_accelerators(self) -> str:
        """Give every compute of the first cell a device; return a flavor that requires one."""
        for number, host in enumerate(COMPUTES):
            body = {"name": f"device{number}", "parent_provider_uuid": self._get_provider_uuid_by_host(host)}
            device = self.placement.post("/resource_providers", body=body, version="1.20").body["uuid"]
            inventory = {"total": 8, "max_unit": 2, "min_unit": 1, "allocation_ratio": 1.0}
            self._update_inventory(device, {"resource_provider_generation": 0, "inventories": {"FPGA": inventory}})
            self._create_trait(self.cyborg.trait)
            self._set_provider_traits(device, [self.cyborg.trait])
        return self._create_flavor(extra_spec={"accel:device_profile": self.cyborg.dp_name})

    def delete_from_database(self, server: str) -> None:
        """Delete a server directly from the database: with more servers every operation takes longer."""
        admin = context.get_admin_context()
        with contextlib.suppress(exception.InstanceNotFound):
            instance = objects.Instance.get_by_uuid(admin, server)
            for migration in objects.MigrationList.get_by_filters(admin, {"instance_uuid": server}):
                db.migration_update(admin, migration.id, {"status": "done"})  # so that periodic tasks skip it
            db.instance_update(admin, server, {"vm_state": "deleted"})  # periodic tasks find deleted servers by it
            instance.destroy()

    def periodic(self, host: str, task: str) -> str:
        """Run a periodic task of a compute now; return its request id."""
        with hosts.playing(host):
            admin = context.get_admin_context()
            getattr(self.computes[host].manager, task)(admin)
        return admin.request_id

    def require_drivers(self, names: tuple[str, ...]) -> None:
        """Raise RuntimeError unless oslo.messaging has loaded these notification drivers."""
        loaded = rpc.LEGACY_NOTIFIER._driver_mgr.names() + rpc.NOTIFIER._driver_mgr.names()
        if missing := sorted(set(names) - set(loaded)):
            errors = [line for line in self.stdlog.logger.output.splitlines() if "Could not load" in line]
            raise RuntimeError(f"oslo.messaging did not load {', '.join(missing)}: {errors}")

    def stop(self) -> None:
        """Stop every service and undo the fixtures' patches."""
        for compute in self.computes.values():
            compute.stop()
        self.doCleanups()

    def _read_conf_file(self) -> None:
        original = nova.config.parse_args

        def parse_args(argv, default_config_files=None, **kwargs):
            return original(["nova", *argv], default_config_files=[str(self._conf_file)], **kwargs)

        nova.config.parse_args = parse_args

    def setUp(self):
        """Start fixtures and services (the base class calls it setUp)."""
        super().setUp()
        logging.getLogger().setLevel(logging.INFO)  # the fixture formats every debug line: a third of the run time
        rpc.LegacyValidatingNotifier.fatal = False  # as in production: an unknown legacy event is only logged
        self.policy = self.useFixture(nova_fixtures.RealPolicyFixture())
        self.neutron = self.useFixture(nova_fixtures.NeutronFixture(self))
        self.cinder = self.useFixture(nova_fixtures.CinderFixture(self))
        self.glance = self.useFixture(nova_fixtures.GlanceFixture(self))
        self.placement = self.useFixture(func_fixtures.PlacementFixture()).api
        self.useFixture(nova_fixtures.AllServicesCurrent())
        self.useFixture(nova_fixtures.HostNameWeigherFixture({"host1": 100, "host2": 50, OTHER_CELL_HOST: 1}))
        self.useFixture(nova_fixtures.ManilaFixture())
        self.cyborg = self.useFixture(nova_fixtures.CyborgFixture())
        self.api_fixture = self.useFixture(_Api(api_version="v2.1"))
        self.admin_api = self.api_fixture.admin_api
        self.user_api = self.api_fixture.api
        self.admin_api.microversion = self.user_api.microversion = "latest"
        self.api = self.admin_api
        for name in ("conductor", "scheduler"):
            self._on(hosts.CONTROLLER, lambda name=name: self.start_service(name, host=hosts.CONTROLLER))
        for host in COMPUTES:
            self._on(host, lambda host=host: self._start_compute(host))
        self._on(OTHER_CELL_HOST, lambda: self._start_compute(OTHER_CELL_HOST, cell_name="cell2"))
        self.policy.set_rules({servers_policies.CROSS_CELL_RESIZE: base_policies.RULE_ADMIN_API}, overwrite=False)

    def _on(self, host, start):
        with hosts.playing(host):
            return start()


assert oslo_messaging  # loaded before Nova patches anything
