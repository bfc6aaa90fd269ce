"""Run in Nova's environment with unittest: every event type of this Nova is translated or dropped on purpose."""

# ruff: noqa: PT009, PT027 - Nova's environment has unittest, not pytest

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import unittest

from nova import rpc
from nova.compute import instance_actions, manager
from nova.conductor import manager as conductor_manager
from nova.notifications import objects as notification_objects
from nova.notifications.objects import base as notification_base
from nova.objects import fields

from stumble.translate import names
from stumble.translate.skip import NOT_AN_ACTION, Skipped
from stumble.translate.versioned import name_of

for _module in pkgutil.iter_modules(notification_objects.__path__):
    importlib.import_module(f"{notification_objects.__name__}.{_module.name}")
LEGACY = rpc.LegacyValidatingNotifier.allowed_legacy_notification_event_types


class NamesCase(unittest.TestCase):
    def test_every_legacy_event_type_is_translated_or_dropped(self):
        unknown = [
            name
            for name in LEGACY
            if name not in names.LEGACY_SIGNALS
            and name not in names.DROPPED
            and not name.startswith(names.DROPPED_FAMILIES)
        ]
        self.assertEqual([], unknown)

    def test_no_event_of_an_instance_is_dropped_by_its_family(self):
        instance_events = [name for name in LEGACY if name.startswith(("compute.instance.", "compute_task."))]
        self.assertEqual([], [name for name in instance_events if name.startswith(names.DROPPED_FAMILIES)])
        dropped = {name for name in instance_events if name in names.DROPPED}
        self.assertEqual({"exists", "create_ip", "delete_ip"}, {name.split(".")[2] for name in dropped})

    def test_every_versioned_action_of_an_instance_is_known(self):
        source = inspect.getsource(fields.NotificationAction)
        known = {*names.INSTANCE_SIGNALS, *names.COMPUTE_TASKS, "exists", "exception"}
        other = {
            *("import", "select_destinations", "add_host", "remove_host", "add_member", "update_metadata"),
            *("update_prop", "connect", "usage", "cache_images"),
        }
        values = set(re.findall(r" = '(\w+)'", source))
        self.assertEqual(set(), values - known - other)
        self.assertEqual(set(), known - values)

    def test_every_documented_sample_of_an_instance_is_known(self):
        samples = {sample for cls in notification_base.NotificationBase.__subclasses__() for sample in cls.samples}
        self.assertGreater(len(samples), 130)
        for sample in samples:
            family, name, *_ = sample.removesuffix(".json").split("-")
            if family == "instance" and name != "exists":
                signal = re.sub("_share$|_alias$", "", name) if name not in names.INSTANCE_SIGNALS else name
                self.assertIn(signal, names.INSTANCE_SIGNALS, sample)
            elif family == "compute_task":
                self.assertIn(name, names.COMPUTE_TASKS, sample)
            elif sample != "compute-exception.json":
                self.assertTrue(f"{family}.".startswith(names.DROPPED_FAMILIES) or name == "exists", sample)

    def test_events_of_other_objects_are_skipped_as_not_an_action(self):
        for name in (
            "aggregate",
            "flavor",
            "keypair",
            "libvirt",
            "metrics",
            "scheduler",
            "server_group",
            "service",
            "volume",
        ):
            with self.assertRaises(Skipped) as caught:
                name_of(f"{name}.something.start", {})
            self.assertEqual(NOT_AN_ACTION, str(caught.exception))

    def test_every_notifying_method_is_a_step_or_listed_as_no_action(self):
        for service, module in (("nova-compute", manager), ("nova-conductor", conductor_manager)):
            for node in ast.walk(ast.parse(inspect.getsource(module))):
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    continue
                decorators = [ast.unparse(item) for item in node.decorator_list]
                if not any("wrap_exception" in item for item in decorators):
                    continue
                if node.name in names.BACKGROUND_METHODS:
                    self.assertTrue(hasattr(module.ComputeManager, names.BACKGROUND_METHODS[node.name]))
                    continue
                is_step = any("wrap_instance_event" in item for item in decorators)
                is_known_step = names.step_of_method(node.name, service) and node.name not in names.NO_ACTION_METHODS
                self.assertEqual(is_step, bool(is_known_step), f"{module.__name__}.{node.name}")

    def test_actions_have_novas_spelling(self):
        novas_names = {value for name, value in vars(instance_actions).items() if name.isupper()}
        used = {meaning.action for meaning in (*names.INSTANCE_SIGNALS.values(), *names.COMPUTE_TASKS.values())}
        used |= set(names.STEP_ACTIONS.values())
        self.assertEqual(set(), used - novas_names - {None})
