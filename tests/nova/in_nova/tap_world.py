"""Shared by the cases of the tap: Nova's database with one instance in it, and the installed tap."""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, cast

import nova.tests.unit  # first: it enables or disables eventlet
from nova import context, objects, test
from nova.compute import utils as compute_utils
from nova.tests.unit import fake_instance

from stumble.nova import tap
from stumble.translate import translate_tap

if TYPE_CHECKING:
    from stumble.nova.producer import Producer

assert nova.tests.unit


class Sink:
    """Stands in for the producer; records the calls."""

    service = None
    host = "host1"

    def __init__(self):
        self.calls = []

    def emit_call(self, call, ctxt):
        self.calls.append((call, ctxt))

    def kinds(self):
        return [call["kind"] for call, _ in self.calls]

    def events(self):
        return [event for call, ctxt in self.calls for event in translate_tap(call, ctxt)]


class TapCase(test.TestCase):  # type: ignore[misc]
    """A database with one instance, and the installed tap."""

    def setUp(self):
        super().setUp()
        self.context = context.RequestContext("alice", "blue", request_id="req-1", global_request_id="req-g")
        self.instance = fake_instance.fake_instance_obj(self.context, vm_state="active", task_state="powering-off")
        record = objects.Instance(
            context=self.context, uuid=self.instance.uuid, project_id="blue", user_id="alice", host="host1"
        )
        record.create()
        self.sink = Sink()
        locations = [(owner(target), target.name) for target in available_targets()]
        self.before = {location: inspect.getattr_static(*location) for location in locations}
        self.state = tap.install(cast("Producer", self.sink))
        self.addCleanup(tap.uninstall)

    def start(self, action="stop"):
        return objects.InstanceAction.action_start(self.context, self.instance.uuid, action)

    def step(self, body):
        @compute_utils.wrap_instance_event(prefix="compute")
        def stop_instance(manager, context, instance):
            manager.body(instance)

        return stop_instance(types.SimpleNamespace(host="host1", body=body), self.context, self.instance)


def available_targets():
    """The targets that this release has."""
    return [target for target in tap.TARGETS if not target.optional or hasattr(owner(target), target.name)]


def owner(target):
    module = __import__(target.module, fromlist=["x"])
    return getattr(module, target.owner) if target.owner else module


def step_phase_state(event):
    return event["step"], event["phase"], (event["instance"] or {}).get("vm_state")


def raising(error):
    def body(_instance):
        raise error

    return body
