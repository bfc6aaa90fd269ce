"""Run in Nova's environment with unittest: the tap around what nova-api, conductor and compute do as services."""

# ruff: noqa: PT009, PT027 - Nova's environment has unittest, not pytest

from __future__ import annotations

import types
from unittest import mock

import nova.tests.unit  # first: it enables or disables eventlet
import webob.exc
from nova import exception, objects, service
from nova.api.openstack import wsgi
from nova.conductor import manager as conductor_manager
from nova.objects import base
from oslo_utils import uuidutils
from tap_world import TapCase, raising

from stumble.nova import tap

assert nova.tests.unit


class ServiceCalls(TapCase):  # type: ignore[misc]
    def test_api_exception_after_its_action_was_recorded_fails_the_action(self):
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

    def test_api_exception_without_action_and_action_without_exception_are_not_reported(self):
        self.assertRaises(webob.exc.HTTPConflict, self.serve, mock.Mock(side_effect=webob.exc.HTTPConflict))
        self.serve(lambda **_: self.start())
        self.assertRaises(webob.exc.HTTPConflict, self.serve, mock.Mock(side_effect=webob.exc.HTTPConflict))
        self.assertEqual(["action_start"], self.sink.kinds())

    def serve(self, controller):
        return wsgi.Resource(None).dispatch(controller, mock.Mock(), {})

    def test_action_of_a_server_fails_when_the_conductor_cannot_send_it(self):
        other = objects.Instance(context=self.context, uuid=uuidutils.generate_uuid(), project_id="blue")
        other.create()
        manager = mock.Mock(spec=conductor_manager.ComputeTaskManager)
        namespace = vars(conductor_manager).copy()
        exec(  # in the conductor's namespace, so that its frames have the conductor's module name
            "def attach_volume(self, context, instances):\n"
            "    for instance in instances:\n"
            "        objects.InstanceAction.action_start(context, instance.uuid, 'create')\n"
            "    for instance in instances:\n"
            "        if instance is not instances[0]:\n"
            "            raise RuntimeError('the bus is unavailable')\n",
            namespace,
        )
        tap.uninstall()
        with mock.patch.object(
            conductor_manager.ComputeTaskManager, "attach_volume", namespace["attach_volume"], create=True
        ):
            tap.install(self.sink)
            attach = conductor_manager.ComputeTaskManager.attach_volume
            self.assertRaises(RuntimeError, attach, manager, self.context, [self.instance, other])
            tap.uninstall()
        self.assertEqual(["action_start", "action_start", "action_finish"], self.sink.kinds())
        event = self.sink.events()[-1]
        self.assertEqual((other.uuid, "ERROR"), (event["instance_uuid"], event["phase"]))

    def test_compute_announces_its_start_and_its_readiness(self):
        announcements = []
        self.sink.emitter = types.SimpleNamespace(announce=lambda **about: announcements.append(sorted(about.items())))
        compute = service.Service("host1", "nova-compute", "compute", "nova.tests.unit.test_service.FakeManager")
        with mock.patch.object(service.Service, "basic_config_check", side_effect=[ValueError, ValueError]):
            self.assertRaises(ValueError, compute.start)
            self.assertEqual([], announcements)  # services in one process cannot be distinguished
            self.sink.service = "nova-compute"
            self.assertRaises(ValueError, compute.start)
        self.assertEqual([[("starting", True)]], announcements)  # the start failed: it is still starting
        with mock.patch.object(compute, "manager"), mock.patch.object(service.rpc, "get_server"):
            compute.start()
            compute.stop()
        self.assertEqual([("starting", True)], announcements[1])
        self.assertEqual(["ready_at", "starting"], [name for name, _ in announcements[2]])
        self.assertEqual([], self.sink.calls)  # no event

    def test_only_the_calling_side_of_an_indirection_reports(self):
        api = Conductor()
        self.start()
        with mock.patch.object(base.NovaObject, "indirection_api", api):
            error = ValueError("bad disk")
            self.assertRaises(ValueError, self.step, raising(error))
            migration_object = objects.Migration.get_by_id(self.context, self.migration().id)
            migration_object.status = "failed"
            migration_object.save()
        self.assertIn("event_finish_with_failure", api.methods)
        self.assertIn("save", api.methods)
        self.assertEqual(["action_start", "event_start", "event_finish", "migration"], self.sink.kinds())
        self.assertEqual("ValueError", self.sink.events()[2]["failure"]["exception"])

    def migration(self):
        migration_object = objects.Migration(
            context=self.context, instance_uuid=self.instance.uuid, migration_type="resize", status="running"
        )
        with mock.patch.object(base.NovaObject, "indirection_api", None):
            migration_object.create()
        return migration_object


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
