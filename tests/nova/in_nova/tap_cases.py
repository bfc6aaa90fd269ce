"""Run in Nova's environment with unittest: the tap on Nova's real objects, database and conductor."""

# ruff: noqa: PT009, PT027 - Nova's environment has unittest, not pytest

from __future__ import annotations

import inspect
from unittest import mock

import nova.tests.unit  # first: it enables or disables eventlet
from nova import exception, objects
from nova.compute import utils as compute_utils
from nova.objects import instance_action, migration
from nova.scheduler import utils as scheduler_utils
from tap_world import TapCase, available_targets, owner, raising, step_phase_state

from stumble.nova import tap

assert nova.tests.unit


class Installed(TapCase):  # type: ignore[misc]
    def test_all_functions_of_this_nova_are_wrapped(self):
        self.assertEqual("on", self.state)

    def test_second_install_wraps_nothing_again(self):
        first = {target: inspect.getattr_static(owner(target), target.name) for target in available_targets()}
        self.assertEqual("on", tap.install(self.sink))
        for target, function in first.items():
            self.assertIs(function, inspect.getattr_static(owner(target), target.name))

    def test_uninstall_restores_all_functions(self):
        tap.uninstall()
        for location, function in self.before.items():
            self.assertIs(function, inspect.getattr_static(*location), location)

    def test_attributes_of_remotable_methods_stay(self):
        for cls, name in (
            (instance_action.InstanceAction, "action_start"),
            (instance_action.InstanceActionEvent, "event_finish_with_failure"),
            (migration.Migration, "save"),
        ):
            wrapped = getattr(cls, name)
            tapped = wrapped.remotable, wrapped.original_fn
            with mock.patch.object(cls, name, self.before[cls, name]):
                self.assertEqual((getattr(cls, name).remotable, getattr(cls, name).original_fn), tapped)


class ReportedCalls(TapCase):  # type: ignore[misc]
    def test_action_start_is_reported(self):
        action = self.start("changePassword")
        self.assertEqual("changePassword", action.action)
        (event,) = self.sink.events()
        self.assertEqual(("action_start", "changePassword"), (event["source"]["signal"], event["action"]))
        self.assertEqual(("req-1", "req-g"), (event["request_id"], event["global_request_id"]))
        self.assertEqual(("alice", "blue"), (event["initiator_user_id"], event["initiator_project_id"]))

    def test_action_finish_is_reported(self):
        self.start("resetState").finish()
        self.assertEqual(["action_start", "action_finish"], self.sink.kinds())
        self.assertEqual("resetState", self.sink.events()[1]["action"])

    def test_action_that_nova_did_not_record_is_not_reported(self):
        with mock.patch.object(instance_action.db, "action_start", side_effect=RuntimeError("no database")):
            self.assertRaises(RuntimeError, self.start)
        self.assertEqual([], self.sink.calls)

    def test_successful_step_is_reported_once(self):
        self.start()
        self.step(lambda instance: setattr(instance, "vm_state", "stopped"))
        self.assertEqual(["action_start", "event_start", "event_finish"], self.sink.kinds())
        _, start, end = self.sink.events()
        self.assertEqual(("compute_stop_instance", "START", "active"), step_phase_state(start))
        self.assertEqual(("compute_stop_instance", "END", "stopped"), step_phase_state(end))
        self.assertEqual(("nova-compute", "host1"), (end["service"], end["host"]))

    def test_failed_step_has_the_original_exception(self):
        self.start()
        error = exception.InstancePowerOffFailure(reason="stuck")
        raised = self.assertRaises(exception.InstancePowerOffFailure, self.step, raising(error))
        self.assertIs(error, raised)
        event = self.sink.events()[-1]
        self.assertEqual("ERROR", event["phase"])
        failure = event["failure"]
        self.assertEqual("InstancePowerOffFailure", failure["exception"])
        self.assertEqual("Failed to power off instance: stuck", failure["reason"])
        self.assertEqual((400, "SOURCE"), (failure["code"], failure["code_source"]))
        self.assertIn("Traceback", failure["traceback"])

    def test_sightings_of_one_exception_share_an_id_that_is_not_visible(self):
        self.start()
        error = exception.InstancePowerOffFailure(reason="stuck")
        before = repr(error)
        self.assertRaises(exception.InstancePowerOffFailure, self.step, raising(error))
        compute_utils.add_instance_fault_from_exc(self.context, self.instance, error)
        other = exception.InstancePowerOffFailure(reason="stuck")
        compute_utils.add_instance_fault_from_exc(self.context, self.instance, other)
        ids = [event["failure_id"] for event in self.sink.events() if event["failure"]]
        self.assertEqual(ids[0], ids[1])
        self.assertNotEqual(ids[0], ids[2])
        self.assertEqual(before, repr(error))

    def test_event_finish_without_a_reporter_is_reported(self):
        self.start()
        objects.InstanceActionEvent.event_start(self.context, self.instance.uuid, "compute_stop_instance")
        objects.InstanceActionEvent.event_finish(self.context, self.instance.uuid, "compute_stop_instance")
        self.assertEqual(["action_start", "event_start", "event_finish"], self.sink.kinds())

    def test_fault_is_reported_with_state_and_exception(self):
        compute_utils.add_instance_fault_from_exc(self.context, self.instance, ValueError("bad disk"))
        (event,) = self.sink.events()
        self.assertEqual(("fault", "ERROR", "INSTANCE"), (event["source"]["signal"], event["phase"], event["scope"]))
        self.assertEqual(("active", "powering-off"), (event["instance"]["vm_state"], event["instance"]["task_state"]))
        self.assertEqual(("ValueError", "ValueError"), (event["failure"]["exception"], event["failure"]["reason"]))

    def test_fault_of_the_conductor_has_the_new_state(self):
        error = exception.NoValidHost(reason="full")
        updates = {"vm_state": "active", "task_state": None}
        without_rpc = mock.patch.multiple(scheduler_utils, rpc=mock.DEFAULT)
        with without_rpc, mock.patch.object(compute_utils, "notify_about_compute_task_error"):
            scheduler_utils.set_vm_state_and_notify(
                self.context, self.instance.uuid, "compute_task", "migrate_server", updates, error, None
            )
        _, event = self.sink.events()
        self.assertEqual(("fault", "active"), (event["source"]["signal"], event["instance"]["vm_state"]))

    def test_migration_status_change_is_reported_with_the_handled_exception(self):
        migration_object = objects.Migration(
            context=self.context,
            instance_uuid=self.instance.uuid,
            migration_type="live-migration",
            status="running",
            source_compute="host1",
            dest_compute="host2",
        )
        migration_object.create()
        migration_object.memory_total = 5
        migration_object.save()
        self.assertEqual([], self.sink.calls)
        try:
            raise exception.MigrationError(reason="refused")  # noqa: TRY301
        except exception.MigrationError:
            migration_object.status = "error"
            migration_object.save()
        (event,) = self.sink.events()
        self.assertEqual(
            ("migration", "ERROR", "error"), (event["source"]["signal"], event["phase"], event["migration_status"])
        )
        self.assertEqual(("host1", "host2"), (event["source_host"], event["dest_host"]))
        self.assertEqual("MigrationError", event["failure"]["exception"])
        self.assertEqual("req-1", event["request_id"])

    def test_state_changes_of_an_instance_are_reported(self):
        record = objects.Instance.get_by_uuid(self.context, self.instance.uuid)
        for changes in (
            {"display_name": "x"},
            {"task_state": "rebuilding"},
            {"vm_state": "stopped"},
            {"task_state": None},
        ):
            record.update(changes)
            record.save()
        record.vm_state = "stopped"  # as it was: no change
        record.save()
        events = self.sink.events()
        self.assertEqual([("instance.update", "PROGRESS")] * 2, [(e["source"]["signal"], e["phase"]) for e in events])
        states = [(event["instance"]["vm_state"], event["instance"]["task_state"]) for event in events]
        self.assertEqual([("stopped", "rebuilding"), ("stopped", None)], states)

    def test_swallowed_failure_at_the_end_of_a_task_is_reported(self):
        record = objects.Instance.get_by_uuid(self.context, self.instance.uuid)
        record.task_state = "image_snapshot"
        record.save()

        def _snapshot_instance(error):
            try:
                raise error
            except exception.NovaException:
                record.task_state = None
                record.save()
                record.task_state = "image_snapshot"
                record.save()

        _snapshot_instance(exception.ImageNotFound(image_id="x"))
        _snapshot_instance(exception.InstanceNotFound(instance_id="x"))
        shown = [(event["phase"], (event["failure"] or {}).get("exception")) for event in self.sink.events()]
        self.assertEqual([("ERROR", "ImageNotFound"), ("PROGRESS", None)], shown)

    def test_state_that_was_not_saved_is_not_reported(self):
        record = objects.Instance.get_by_uuid(self.context, self.instance.uuid)
        record.vm_state = "error"
        self.assertRaises(exception.UnexpectedTaskStateError, record.save, expected_task_state="nonsense")
        self.assertEqual([], self.sink.calls)

    def test_step_with_a_stale_object_has_the_saved_state(self):
        def body(_instance):
            record = objects.Instance.get_by_uuid(self.context, self.instance.uuid)
            record.vm_state = "error"
            record.save()
            compute_utils.add_instance_fault_from_exc(self.context, self.instance, ValueError("x"))

        self.start()
        self.step(body)
        last = [(event["source"]["signal"], event["instance"]["vm_state"]) for event in self.sink.events()[-3:]]
        self.assertEqual([("instance.update", "error"), ("fault", "error"), ("event_finish", "error")], last)
        self.assertEqual("active", self.instance.vm_state)


class FailureIsolation(TapCase):  # type: ignore[misc]
    def test_error_of_the_sink_does_not_reach_nova(self):
        self.sink.emit_call = mock.Mock(side_effect=ValueError("broken"))
        self.start()
        with compute_utils.EventReporter(self.context, "compute_stop_instance", "host1", self.instance.uuid):
            pass
        compute_utils.add_instance_fault_from_exc(self.context, self.instance, ValueError("x"))
        self.assertEqual(4, self.sink.emit_call.call_count)

    def test_exception_of_nova_is_raised_unchanged(self):
        self.assertRaises(
            exception.InstanceActionNotFound,
            objects.InstanceActionEvent.event_start,
            self.context,
            "00000000-0000-4000-8000-000000000000",
            "compute_stop_instance",
        )

    def test_function_with_other_parameters_is_not_wrapped(self):
        tap.uninstall()
        before = inspect.getattr_static(instance_action.InstanceActionEvent, "event_start")
        targets = [
            target._replace(needs=("nonsense",)) if target.name == "event_start" else target for target in tap.TARGETS
        ]
        missing = tap.TARGETS[0]._replace(name="not_there")
        with mock.patch.object(tap, "TARGETS", (*targets, missing)):
            state = tap.install(self.sink)
        self.assertIn("partial", state)
        self.assertIn("InstanceActionEvent.event_start (it has no nonsense)", state)
        self.assertIn("not_there", state)
        self.assertIs(before, inspect.getattr_static(instance_action.InstanceActionEvent, "event_start"))
        self.start()
        self.assertEqual(["action_start"], self.sink.kinds())
