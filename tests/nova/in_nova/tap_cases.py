"""Run in Nova's environment with unittest: the tap on Nova's real objects, database and conductor."""

# ruff: noqa: PT009, PT027 - Nova's environment has unittest, not pytest

from __future__ import annotations

import inspect
import types
from unittest import mock

import nova.tests.unit  # first: it patches for eventlet, or keeps it out
import webob.exc
from nova import context, exception, objects, service, test
from nova.api.openstack import wsgi
from nova.compute import utils as compute_utils
from nova.conductor import manager as conductor_manager
from nova.objects import base, instance_action, migration
from nova.scheduler import utils as scheduler_utils
from nova.tests.unit import fake_instance
from oslo_utils import uuidutils

from stumble.producers.nova import tap
from stumble.producers.translate import translate_tap

assert nova.tests.unit


class Sink:
    """Stands for the producer: keeps what it is told."""

    service = None
    host = "host1"

    def __init__(self):
        self.calls = []

    def call(self, call, ctxt):
        self.calls.append((call, ctxt))

    def kinds(self):
        return [call["kind"] for call, _ in self.calls]

    def events(self):
        return [event for call, ctxt in self.calls for event in translate_tap(call, ctxt)]


class TapCase(test.TestCase):
    """A database with one instance, and the tap installed."""

    def setUp(self):
        super().setUp()
        self.context = context.RequestContext("alice", "blue", request_id="req-1", global_request_id="req-g")
        self.instance = fake_instance.fake_instance_obj(self.context, vm_state="active", task_state="powering-off")
        record = objects.Instance(
            context=self.context, uuid=self.instance.uuid, project_id="blue", user_id="alice", host="host1"
        )
        record.create()
        self.sink = Sink()
        places = [(owner(target), target.name) for target in there()]
        self.before = {place: inspect.getattr_static(*place) for place in places}
        self.state = tap.install(self.sink)
        self.addCleanup(tap.uninstall)

    def start(self, action="stop"):
        return objects.InstanceAction.action_start(self.context, self.instance.uuid, action)


def there():
    """The targets that this release has."""
    return [target for target in tap.TARGETS if not target.optional or hasattr(owner(target), target.name)]


def owner(target):
    module = __import__(target.module, fromlist=["x"])
    return getattr(module, target.owner) if target.owner else module


class Installed(TapCase):
    def test_all_of_this_nova_can_be_observed(self):
        self.assertEqual("on", self.state)

    def test_a_second_install_wraps_nothing_again(self):
        first = {target: inspect.getattr_static(owner(target), target.name) for target in there()}
        self.assertEqual("on", tap.install(self.sink))
        for target, found in first.items():
            self.assertIs(found, inspect.getattr_static(owner(target), target.name))

    def test_uninstall_leaves_no_trace(self):
        tap.uninstall()
        for place, found in self.before.items():
            self.assertIs(found, inspect.getattr_static(*place), place)

    def test_what_oslo_versionedobjects_looks_for_stays(self):
        for cls, name in (
            (instance_action.InstanceAction, "action_start"),
            (instance_action.InstanceActionEvent, "event_finish_with_failure"),
            (migration.Migration, "save"),
        ):
            wrapped = getattr(cls, name)
            tapped = wrapped.remotable, wrapped.original_fn
            with mock.patch.object(cls, name, self.before[cls, name]):
                self.assertEqual((getattr(cls, name).remotable, getattr(cls, name).original_fn), tapped)


class Told(TapCase):
    def test_action_start(self):
        action = self.start("changePassword")
        self.assertEqual("changePassword", action.action)
        (event,) = self.sink.events()
        self.assertEqual(("action_start", "changePassword"), (event["source"]["signal"], event["action"]))
        self.assertEqual(("req-1", "req-g"), (event["request_id"], event["global_request_id"]))
        self.assertEqual(("alice", "blue"), (event["initiator_user_id"], event["initiator_project_id"]))

    def test_action_finish(self):
        self.start("resetState").finish()
        self.assertEqual(["action_start", "action_finish"], self.sink.kinds())
        self.assertEqual("resetState", self.sink.events()[1]["action"])

    def test_an_action_that_was_not_recorded_is_not_told(self):
        with mock.patch.object(instance_action.db, "action_start", side_effect=RuntimeError("no database")):
            self.assertRaises(RuntimeError, self.start)
        self.assertEqual([], self.sink.calls)

    def step(self, body):
        @compute_utils.wrap_instance_event(prefix="compute")
        def stop_instance(manager, context, instance):
            manager.body(instance)

        return stop_instance(types.SimpleNamespace(host="host1", body=body), self.context, self.instance)

    def test_a_step_that_works_is_told_once(self):
        self.start()
        self.step(lambda instance: setattr(instance, "vm_state", "stopped"))
        self.assertEqual(["action_start", "event_start", "event_finish"], self.sink.kinds())
        _, start, end = self.sink.events()
        self.assertEqual(("compute_stop_instance", "START", "active"), told(start))
        self.assertEqual(("compute_stop_instance", "END", "stopped"), told(end))
        self.assertEqual(("nova-compute", "host1"), (end["service"], end["host"]))

    def test_a_step_that_fails_shows_the_exception_itself(self):
        self.start()
        error = exception.InstancePowerOffFailure(reason="stuck")
        found = self.assertRaises(exception.InstancePowerOffFailure, self.step, raising(error))
        self.assertIs(error, found)
        event = self.sink.events()[-1]
        self.assertEqual("ERROR", event["phase"])
        failure = event["failure"]
        self.assertEqual("InstancePowerOffFailure", failure["exception"])
        self.assertEqual("Failed to power off instance: stuck", failure["reason"])
        self.assertEqual((400, "SOURCE"), (failure["code"], failure["code_source"]))
        self.assertIn("Traceback", failure["traceback"])

    def test_sightings_of_one_exception_share_an_id_and_notifications_do_not_show_it(self):
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

    def test_event_finish_without_a_reporter(self):
        self.start()
        objects.InstanceActionEvent.event_start(self.context, self.instance.uuid, "compute_stop_instance")
        objects.InstanceActionEvent.event_finish(self.context, self.instance.uuid, "compute_stop_instance")
        self.assertEqual(["action_start", "event_start", "event_finish"], self.sink.kinds())

    def test_fault(self):
        compute_utils.add_instance_fault_from_exc(self.context, self.instance, ValueError("bad disk"))
        (event,) = self.sink.events()
        self.assertEqual(("fault", "ERROR", "INSTANCE"), (event["source"]["signal"], event["phase"], event["scope"]))
        self.assertEqual(("active", "powering-off"), (event["instance"]["vm_state"], event["instance"]["task_state"]))
        self.assertEqual(("ValueError", "ValueError"), (event["failure"]["exception"], event["failure"]["reason"]))

    def test_a_fault_of_the_conductor(self):
        error = exception.NoValidHost(reason="full")
        updates = {"vm_state": "active", "task_state": None}
        silent = mock.patch.multiple(scheduler_utils, rpc=mock.DEFAULT)
        with silent, mock.patch.object(compute_utils, "notify_about_compute_task_error"):
            scheduler_utils.set_vm_state_and_notify(
                self.context, self.instance.uuid, "compute_task", "migrate_server", updates, error, None
            )
        _, event = self.sink.events()
        self.assertEqual(("fault", "active"), (event["source"]["signal"], event["instance"]["vm_state"]))

    def test_a_migration_tells_its_changes_of_status_and_the_exception_being_handled(self):
        found = objects.Migration(
            context=self.context,
            instance_uuid=self.instance.uuid,
            migration_type="live-migration",
            status="running",
            source_compute="host1",
            dest_compute="host2",
        )
        found.create()
        found.memory_total = 5
        found.save()
        self.assertEqual([], self.sink.calls)
        try:
            raise exception.MigrationError(reason="refused")  # noqa: TRY301
        except exception.MigrationError:
            found.status = "error"
            found.save()
        (event,) = self.sink.events()
        self.assertEqual(
            ("migration", "ERROR", "error"), (event["source"]["signal"], event["phase"], event["migration_status"])
        )
        self.assertEqual(("host1", "host2"), (event["source_host"], event["dest_host"]))
        self.assertEqual("MigrationError", event["failure"]["exception"])
        self.assertEqual("req-1", event["request_id"])

    def test_an_instance_tells_its_changes_of_state(self):
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

    def test_a_task_that_ends_in_a_swallowed_failure_shows_it(self):
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

    def test_an_exception_that_leaves_the_api_after_its_action_was_recorded(self):
        def controller(req):
            self.start()
            try:
                raise exception.CannotResizeToSameFlavor
            except exception.NovaException as error:
                raise webob.exc.HTTPBadRequest(explanation=str(error))  # noqa: B904 - as Nova does

        self.assertRaises(webob.exc.HTTPBadRequest, self.serve, controller)
        event = self.sink.events()[-1]
        self.assertEqual(["action_start", "action_finish"], self.sink.kinds())
        self.assertEqual(("ERROR", "REQUEST", "stop"), (event["phase"], event["scope"], event["action"]))
        self.assertEqual("CannotResizeToSameFlavor", event["failure"]["exception"])
        self.assertEqual((self.instance.uuid, "req-1"), (event["instance_uuid"], event["request_id"]))

    def test_an_exception_before_any_action_and_an_action_without_exception_are_not_told(self):
        self.assertRaises(webob.exc.HTTPConflict, self.serve, mock.Mock(side_effect=webob.exc.HTTPConflict))
        self.serve(lambda **_: self.start())
        self.assertRaises(webob.exc.HTTPConflict, self.serve, mock.Mock(side_effect=webob.exc.HTTPConflict))
        self.assertEqual(["action_start"], self.sink.kinds())

    def serve(self, controller):
        return wsgi.Resource(None).dispatch(controller, mock.Mock(), {})

    def test_a_server_that_the_conductor_could_not_hand_on(self):
        other = objects.Instance(context=self.context, uuid=uuidutils.generate_uuid(), project_id="blue")
        other.create()
        manager = mock.Mock(spec=conductor_manager.ComputeTaskManager)
        places = vars(conductor_manager).copy()
        exec(  # a method of the conductor's module, as its frames tell it
            "def attach_volume(self, context, instances):\n"
            "    for instance in instances:\n"
            "        objects.InstanceAction.action_start(context, instance.uuid, 'create')\n"
            "    for instance in instances:\n"
            "        if instance is not instances[0]:\n"
            "            raise RuntimeError('the bus is gone')\n",
            places,
        )
        tap.uninstall()
        with mock.patch.object(
            conductor_manager.ComputeTaskManager, "attach_volume", places["attach_volume"], create=True
        ):
            tap.install(self.sink)
            hand_on = conductor_manager.ComputeTaskManager.attach_volume
            self.assertRaises(RuntimeError, hand_on, manager, self.context, [self.instance, other])
            tap.uninstall()
        self.assertEqual(["action_start", "action_start", "action_finish"], self.sink.kinds())
        event = self.sink.events()[-1]
        self.assertEqual((other.uuid, "ERROR"), (event["instance_uuid"], event["phase"]))

    def test_a_state_that_was_not_saved_is_not_told(self):
        record = objects.Instance.get_by_uuid(self.context, self.instance.uuid)
        record.vm_state = "error"
        self.assertRaises(exception.UnexpectedTaskStateError, record.save, expected_task_state="nonsense")
        self.assertEqual([], self.sink.calls)

    def test_a_step_whose_object_is_stale_shows_what_was_saved(self):
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

    def test_a_compute_tells_that_it_starts_and_that_it_has_started(self):
        told = []
        self.sink.emitter = types.SimpleNamespace(announce=lambda **about: told.append(sorted(about.items())))
        compute = service.Service("host1", "nova-compute", "compute", "nova.tests.unit.test_service.FakeManager")
        with mock.patch.object(service.Service, "basic_config_check", side_effect=[ValueError, ValueError]):
            self.assertRaises(ValueError, compute.start)
            self.assertEqual([], told)  # services that play in one process can't be told apart
            self.sink.service = "nova-compute"
            self.assertRaises(ValueError, compute.start)
        self.assertEqual([[("starting", True)]], told)  # it did not come up: it is still starting
        with mock.patch.object(compute, "manager"), mock.patch.object(service.rpc, "get_server"):
            compute.start()
            compute.stop()
        self.assertEqual([("starting", True)], told[1])
        self.assertEqual(["ready_at", "starting"], [name for name, _ in told[2]])
        self.assertEqual([], self.sink.calls)  # no event

    def test_only_the_calling_side_tells(self):
        api = Conductor()
        self.start()
        with mock.patch.object(base.NovaObject, "indirection_api", api):
            error = ValueError("bad disk")
            self.assertRaises(ValueError, self.step, raising(error))
            found = objects.Migration.get_by_id(self.context, self.migration().id)
            found.status = "failed"
            found.save()
        self.assertIn("event_finish_with_failure", api.methods)
        self.assertIn("save", api.methods)
        self.assertEqual(["action_start", "event_start", "event_finish", "migration"], self.sink.kinds())
        self.assertEqual("ValueError", self.sink.events()[2]["failure"]["exception"])

    def migration(self):
        found = objects.Migration(
            context=self.context, instance_uuid=self.instance.uuid, migration_type="resize", status="running"
        )
        with mock.patch.object(base.NovaObject, "indirection_api", None):
            found.create()
        return found


class Safe(TapCase):
    def test_whatever_goes_wrong_here_nova_goes_on(self):
        self.sink.call = mock.Mock(side_effect=ValueError("broken"))
        self.start()
        with compute_utils.EventReporter(self.context, "compute_stop_instance", "host1", self.instance.uuid):
            pass
        compute_utils.add_instance_fault_from_exc(self.context, self.instance, ValueError("x"))
        self.assertEqual(4, self.sink.call.call_count)

    def test_what_nova_raises_passes(self):
        self.assertRaises(
            exception.InstanceActionNotFound,
            objects.InstanceActionEvent.event_start,
            self.context,
            "00000000-0000-4000-8000-000000000000",
            "compute_stop_instance",
        )

    def test_a_function_of_another_shape_is_left_alone(self):
        tap.uninstall()
        before = inspect.getattr_static(instance_action.InstanceActionEvent, "event_start")
        targets = [
            target._replace(needs=("nonsense",)) if target.name == "event_start" else target for target in tap.TARGETS
        ]
        gone = tap.TARGETS[0]._replace(name="not_there")
        with mock.patch.object(tap, "TARGETS", (*targets, gone)):
            state = tap.install(self.sink)
        self.assertIn("partial", state)
        self.assertIn("InstanceActionEvent.event_start (it has no nonsense)", state)
        self.assertIn("not_there", state)
        self.assertIs(before, inspect.getattr_static(instance_action.InstanceActionEvent, "event_start"))
        self.start()
        self.assertEqual(["action_start"], self.sink.kinds())


class Conductor:
    """The conductor's side of a compute that has no database, in this process."""

    def __init__(self):
        self.manager = mock.Mock(spec=conductor_manager.ConductorManager)
        for name in ("_object_dispatch", "object_action", "object_class_action_versions"):
            setattr(self.manager, name, getattr(conductor_manager.ConductorManager, name).__get__(self.manager))
        self.methods = []

    def object_class_action_versions(self, context, objname, method, versions, args, kwargs):
        self.methods.append(method)
        with mock.patch.object(base.NovaObject, "indirection_api", None):
            return self.manager.object_class_action_versions(context, objname, method, versions, args, kwargs)

    def object_action(self, context, objinst, method, args, kwargs):
        self.methods.append(method)
        with mock.patch.object(base.NovaObject, "indirection_api", None):
            return self.manager.object_action(context, objinst, method, args, kwargs)


def told(event):
    return event["step"], event["phase"], (event["instance"] or {}).get("vm_state")


def raising(error):
    def body(_instance):
        raise error

    return body
