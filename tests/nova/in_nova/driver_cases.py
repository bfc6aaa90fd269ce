"""Run in Nova's environment with unittest: the driver as oslo.messaging loads it, by name."""

# ruff: noqa: PT009 - Nova's environment has unittest, not pytest

from __future__ import annotations

import ast
import copy
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import oslo_messaging
from nova.objects import external_event as objects
from oslo_config import cfg
from oslo_messaging.notify import notifier

from stumble.nova import driver, options, tap
from stumble.nova.producer import Producer
from stumble.outbox import OutboxCursor, OutboxReader
from stumble.outbox.folders import outbox_folders
from stumble.wire.codec import decode_record
from stumble.wire.schemas import EVENT

UUID = "178b0921-8f85-4257-88b6-2e743b5a975c"
PAYLOAD = {"instance_id": UUID, "state": "active", "tenant_id": "blue"}
LOAD_DRIVER = (
    "import importlib, inspect, sys; from oslo_config import cfg; import oslo_messaging as om; "
    "conf = cfg.ConfigOpts(); conf(['--config-file', sys.argv[1]]); "
    "import nova.compute.manager, nova.api.openstack.wsgi, nova.conductor.manager, nova.service, nova.objects; "
    "nova.objects.register_all(); "
    "functions = lambda: {(m, n, k): v for m, mod in list(sys.modules.items()) if m.startswith('nova.') "
    "for n, o in [(None, mod), *((n, c) for n, c in vars(mod).items() if inspect.isclass(c) and c.__module__ == m)] "
    "for k, v in vars(o).items() if callable(v) or isinstance(v, (classmethod, staticmethod, property))}; "
    "before = functions(); "
    "n = om.Notifier(om.get_notification_transport(conf, 'fake://')); after = functions(); "
    "changed = sorted({f'{k[1]}.{k[2]}' for k, v in before.items() if after.get(k) is not v}); "
    "print([type(e.obj).__name__ for e in n._driver_mgr], changed)"
)


class DriverCase(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.outbox = self.folder / "outbox"
        self.addCleanup(tap.uninstall)
        self.addCleanup(driver._producers.clear)

    def conf(self, **known):
        lines = ["[oslo_messaging_notifications]", "driver = stumble", "[stumble]"]
        lines += [f"{key} = {value}" for key, value in ({"outbox_dir": self.outbox} | known).items()]
        file = self.folder / "nova.conf"
        file.write_text("\n".join(lines))
        conf = cfg.ConfigOpts()
        conf.register_opts([cfg.HostAddressOpt("host", default="host1")])
        conf(["--config-file", str(file)])
        return conf

    def notifier(self, conf, **known):
        transport = oslo_messaging.get_notification_transport(conf, "fake://")
        return oslo_messaging.Notifier(transport, publisher_id="compute.host1", **known)

    def events(self):
        events = []
        for folder in outbox_folders(str(self.outbox)):
            reader, cursor, before = OutboxReader(folder.path), OutboxCursor(), None
            while cursor != before:
                chunk = reader.read(cursor, live=True)
                events += [decode_record(EVENT, record.body) for record in chunk.records]
                before, cursor = cursor, chunk.end
        return events

    def test_driver_loaded_by_name_writes_events_to_the_outbox(self):
        conf = self.conf(cell="cell1", region="north", labels="rack:r1,aggregate:gpu")
        self.notifier(conf).info({}, "compute.instance.power_off.end", PAYLOAD)
        (event,) = self.events()
        self.assertEqual((UUID, "instance.power_off"), (event["instance_uuid"], event["source"]["signal"]))
        self.assertEqual(("cell1", "north"), (event["cell"], event["region"]))
        self.assertEqual({"rack": "r1", "aggregate": "gpu"}, event["labels"])

    def test_two_notifiers_share_one_outbox_and_one_tap(self):
        conf = self.conf()
        with mock.patch.object(tap, "install", wraps=tap.install) as install:
            notifiers = [self.notifier(conf), self.notifier(conf, topics=["versioned_notifications"])]
        self.assertEqual(1, install.call_count)
        for publisher in notifiers:
            publisher.info({}, "compute.instance.power_off.end", PAYLOAD)
        self.assertEqual(2, len(self.events()))
        self.assertEqual(1, len(outbox_folders(str(self.outbox))))

    def test_nothing_is_created_before_the_first_event(self):
        self.notifier(self.conf())
        self.assertFalse(self.outbox.exists())

    def test_message_and_context_are_not_changed(self):
        stumble_driver = driver.StumbleDriver(self.conf(), [], None)
        message = {
            "message_id": "m",
            "publisher_id": "compute.host1",
            "event_type": "stop_instance",
            "timestamp": "2026-11-22 08:19:54.557150",
            "priority": "ERROR",
            "payload": {"exception": "ValueError('x')", "args": {"instance": {"uuid": UUID}}},
            "_context_auth_token": "secret",
            "_unique_id": "u",
        }
        context = {"request_id": "req-1"}
        before = copy.deepcopy((message, context))
        stumble_driver.notify(context, message, "ERROR", None)
        self.assertEqual(before, (message, context))
        self.assertEqual("ValueError", self.events()[0]["failure"]["exception"])

    def test_notification_of_the_handled_exception_has_its_id_and_chain(self):
        stumble_driver = driver.StumbleDriver(self.conf(), [], None)
        payload = {"exception": "ValueError('x')", "args": {"instance": {"uuid": UUID}}}
        publisher = self.notifier(self.conf())
        self.assertIsNotNone(stumble_driver)
        try:
            raise ValueError("x") from OSError("disk")  # noqa: TRY301
        except ValueError:
            publisher.error({}, "stop_instance", payload)
            publisher.error({}, "stop_instance", payload)
            publisher.error({}, "stop_instance", payload | {"exception": "KeyError('y')"})
        first, second, other = self.events()
        self.assertEqual(first["failure_id"], second["failure_id"])
        self.assertEqual(["OSError"], first["failure"]["chain"])
        self.assertIsNone(other["failure_id"])

    def test_failing_one_of_several_external_events_is_reported(self):
        tags = ["vol-1", "vol-2", "vol-3"]
        events = [objects.InstanceExternalEvent(instance_uuid=UUID, name="volume-extended", tag=tag) for tag in tags]
        sent = [{"instance_uuid": UUID, "name": "volume-extended", "tag": tag} for tag in tags]
        payload = {"exception": "ValueError('x')", "args": {"instances": [{"uuid": UUID}], "events": sent}}

        def external_instance_event():
            for event in events:
                if event.tag == "vol-2":
                    raise ValueError("x")

        publisher = self.notifier(self.conf())
        publisher.error({}, "external_instance_event", payload)
        try:
            external_instance_event()
        except ValueError:
            publisher.error({}, "external_instance_event", payload)
        unknown, known = self.events()
        self.assertEqual((None, {"one_of": "vol-1 vol-2 vol-3"}), (unknown["target_id"], unknown["attributes"]))
        self.assertEqual(("vol-2", "extend_volume"), (known["target_id"], known["action"]))

    def test_invalid_messages_raise_nothing(self):
        stumble_driver = driver.StumbleDriver(self.conf(), [], None)
        messages: tuple[object, ...] = (None, 5, {}, {"payload": {}}, {"event_type": []})
        for message in messages:
            stumble_driver.notify(None, message, None, None)
            stumble_driver.notify(object(), message, "INFO", -1)
        self.assertEqual([], self.events())

    def test_invalid_option_disables_stumble_and_not_the_service(self):
        conf = self.conf(durability="forever")
        with self.assertLogs("stumble.nova.driver", "WARNING") as logged:
            publisher = self.notifier(conf)
        self.assertIn("stumble is disabled in this service", logged.output[0])
        publisher.info({}, "compute.instance.power_off.end", PAYLOAD)
        self.assertEqual([], self.events())

    def test_unwritable_outbox_raises_nothing_in_nova(self):
        self.outbox.write_text("a file, not a folder")
        self.notifier(self.conf()).info({}, "compute.instance.power_off.end", PAYLOAD)

    def test_error_of_the_producer_raises_nothing_in_nova(self):
        publisher = self.notifier(self.conf())
        with mock.patch.object(Producer, "emit_notification", side_effect=RuntimeError("bug")):
            publisher.info({}, "compute.instance.power_off.end", PAYLOAD)

    def functions_changed(self, **known):
        """Return which functions of the modules that a compute loads are replaced when the driver is loaded."""
        self.conf(**known)
        command = [sys.executable, "-W", "ignore", "-c", LOAD_DRIVER, str(self.folder / "nova.conf")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        output = done.stdout.strip().splitlines()[-1]
        self.assertTrue(output.startswith("['StumbleDriver'] "), output)
        return output.removeprefix("['StumbleDriver'] ")

    def test_disabled_tap_changes_no_function_of_nova(self):
        self.assertEqual("[]", self.functions_changed(tap="false"))

    def test_enabled_tap_changes_only_its_listed_functions(self):
        changed = set(ast.literal_eval(self.functions_changed(tap="true")))
        allowed = {target.label if target.owner else f"None.{target.name}" for target in tap.TARGETS}
        self.assertLessEqual(changed, allowed)
        expected = {
            "Instance.save",
            "Migration.save",
            "InstanceAction.action_start",
            "None.add_instance_fault_from_exc",
        }
        self.assertLessEqual(expected, changed)

    def test_every_option_has_a_help_text(self):
        ((group, options_of_group),) = options.list_opts()
        self.assertEqual("stumble", group)
        names = ["outbox_dir", "durability", "tap", "tracebacks", "labels", "cell", "region"]
        self.assertEqual(names, [option.name for option in options_of_group])
        for option in options_of_group:
            self.assertGreater(len(option.help), 20)

    def test_driver_is_a_notifier_driver_of_oslo_messaging(self):
        self.assertTrue(issubclass(driver.StumbleDriver, notifier.Driver))
