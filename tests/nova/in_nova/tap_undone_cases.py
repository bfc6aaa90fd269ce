"""Run in Nova's environment with unittest: the tap where Nova gives the work of a step up and swallows why."""

# ruff: noqa: PT009 - Nova's environment has unittest, not pytest

from __future__ import annotations

from unittest import mock

import nova.tests.unit  # first: it enables or disables eventlet
from nova import exception, objects
from nova.compute import manager
from nova.compute import utils as compute_utils
from nova.image import glance
from oslo_utils import uuidutils
from tap_world import TapCase

assert nova.tests.unit

VOLUME = uuidutils.generate_uuid()


class UndoneSteps(TapCase):  # type: ignore[misc]
    def setUp(self):
        super().setUp()
        self.manager = mock.Mock(host="host1")
        self.manager.driver.capabilities = {"supports_extend_volume": True}
        self.record = objects.Instance.get_by_uuid(self.context, self.instance.uuid)

    def undone(self):
        events = [event for event in self.sink.events() if event["source"]["signal"] == "step_undone"]
        return [(event["step"], event["phase"], (event["failure"] or {}).get("exception")) for event in events]

    def extend(self):
        self.start("extend_volume")
        manager.ComputeManager.extend_volume(self.manager, self.context, self.record, VOLUME)

    def attach(self, connection_info):
        device = objects.BlockDeviceMapping(
            context=self.context,
            instance_uuid=self.instance.uuid,
            volume_id=VOLUME,
            source_type="volume",
            destination_type="volume",
            device_name="/dev/vdb",
            connection_info=connection_info,
        )
        device.create()

    def test_volume_that_is_not_attached(self):
        self.extend()
        self.assertEqual([("compute_extend_volume", "ERROR", "VolumeBDMNotFound")], self.undone())
        self.assertEqual("event_finish", self.sink.kinds()[-1])
        self.assertEqual(VOLUME, self.sink.events()[-2]["target_id"])

    def test_volume_that_is_not_connected(self):
        self.attach(None)
        self.extend()
        self.assertEqual([("compute_extend_volume", "ERROR", None)], self.undone())

    def test_volume_that_is_extended(self):
        self.attach("{}")
        self.manager.volume_api.get.return_value = {"size": 2}
        self.extend()
        self.assertTrue(self.manager.driver.extend_volume.called)
        self.assertEqual([], self.undone())

    def test_snapshot_of_a_lost_guest(self):
        self.manager._get_power_state.return_value = 1
        self.manager.image_api = glance.API()
        self.manager.driver.snapshot.side_effect = exception.InstanceNotFound(instance_id="x")
        lookup = mock.patch.object(
            glance.API, "_get_session_and_image_id", side_effect=exception.ImageNotFound(image_id="x")
        )
        with lookup, mock.patch.object(compute_utils, "notify_about_instance_snapshot"):
            manager.ComputeManager._snapshot_instance(self.manager, self.context, "image", self.record, "image_backup")
        self.assertEqual([("compute_backup_instance", "ERROR", "InstanceNotFound")], self.undone())

    def test_snapshot_of_a_server_that_is_being_deleted(self):
        self.record.task_state = "deleting"
        self.record.save()
        self.start("createImage")
        manager.ComputeManager.snapshot_instance(self.manager, self.context, "image", self.record)
        expected = [("compute_snapshot_instance", "ERROR", "UnexpectedDeletingTaskStateError")]
        self.assertEqual(expected, self.undone())

    def test_power_update_that_another_task_preempts(self):
        other = objects.Instance.get_by_uuid(self.context, self.instance.uuid)
        other.task_state = "rebooting"
        other.save()
        self.manager._is_state_valid_for_power_update_event.return_value = True
        self.start()
        manager.ComputeManager.power_update(self.manager, self.context, self.record, "POWER_OFF")
        self.assertEqual([("compute_power_update", "ERROR", "UnexpectedTaskStateError")], self.undone())

    def test_confirmation_shows_the_status_of_its_migration(self):
        migration = objects.Migration(
            context=self.context, instance_uuid=self.instance.uuid, migration_type="resize", status="error"
        )
        migration.create()
        self.start("confirmResize")
        manager.ComputeManager.confirm_resize(self.manager, self.context, self.record, migration)
        event = self.sink.events()[-1]
        self.assertEqual(("compute_confirm_resize", "END"), (event["step"], event["phase"]))
        self.assertEqual(("error", "resize"), (event["migration_status"], event["migration_type"]))

    def test_error_of_the_sink_does_not_reach_nova(self):
        self.sink.emit_call = mock.Mock(side_effect=ValueError("broken"))
        self.extend()
        self.assertEqual(4, self.sink.emit_call.call_count)
