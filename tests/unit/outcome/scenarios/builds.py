"""Actions that build a server: create, rebuild, shelve and unshelve, with and without a delete during them."""

from __future__ import annotations

from tests.unit.outcome.scenarios.scenario import Scenario

BUILDS = [
    Scenario(
        "create exhausts its retries",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !libvirtError
        T h1 event_finish.end compute__do_build_and_run_instance
        T h2 event_start compute__do_build_and_run_instance
        VL h2 instance.create.start building/-
        VL h2 instance.create.error building/spawning !libvirtError
        T h2 event_finish.end compute__do_build_and_run_instance
        T con fault !MaxRetriesExceeded error/-
        VL con compute_task.build_instances !MaxRetriesExceeded error/-
        """,
        {"create": "FAILED h1:libvirtError(NONE) h2:libvirtError(ERROR) verdict=MaxRetriesExceeded"},
    ),
    Scenario(
        "create recovers on the second host",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !ComputeResourcesUnavailable
        T h1 event_finish.end compute__do_build_and_run_instance
        T h2 event_start compute__do_build_and_run_instance
        VL h2 instance.create.start building/-
        VL h2 instance.create.end active/-
        T h2 event_finish.end compute__do_build_and_run_instance
        """,
        {"create": "RECOVERED h1:ComputeResourcesUnavailable(NONE)"},
    ),
    Scenario(
        "create gives up on a build that no host can do",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !VirtualInterfaceCreateException
        T h1 fault !BuildAbortException>VirtualInterfaceCreateException building/spawning
        T h1 event_finish compute__do_build_and_run_instance
        """,
        {"create": "FAILED h1:VirtualInterfaceCreateException(UNKNOWN)"},
    ),
    Scenario(
        "create without retries",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !HypervisorUnavailable
        T h1 fault !RescheduledException>HypervisorUnavailable building/spawning
        T h1 event_finish compute__do_build_and_run_instance
        """,
        {"create": "FAILED h1:HypervisorUnavailable(UNKNOWN)"},
        expected_by_way={
            # Nova sends the same payload when it retries and when it gives up, so the outcome cannot be known.
            way: {"create": "IN_PROGRESS h1:HypervisorUnavailable(UNKNOWN)"}
            for way in ("versioned", "legacy", "both")
        },
    ),
    Scenario(
        "create, server deleted during it",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        T api action_start delete @req-2
        VL h1 instance.delete.start building/deleting @req-2
        VL h1 instance.create.error building/spawning !UnexpectedDeletingTaskStateError
        T h1 event_finish compute__do_build_and_run_instance
        T h1 event_start compute_terminate_instance @req-2
        VL h1 instance.delete.end deleted/- @req-2
        T h1 event_finish compute_terminate_instance @req-2
        """,
        {"create": "CANCELLED", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "create whose guest the hypervisor does not find, and nobody deletes the server",
        """
        T con action_start create building/scheduling
        T h1 event_start compute__do_build_and_run_instance building/scheduling
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !InstanceNotFound
        T h1 event_finish.end compute__do_build_and_run_instance building/spawning
        """,
        {"create": "FAILED h1:InstanceNotFound(UNKNOWN)"},
    ),
    Scenario(
        "create whose guest the hypervisor does not find, without another host",
        """
        T con action_start create building/scheduling
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !InstanceNotFound
        VL con compute_task.build_instances !NoValidHost error/-
        """,
        {"create": "FAILED h1:InstanceNotFound(ERROR) verdict=NoValidHost"},
        expected_by_way={"tap": {"create": "FAILED h1:InstanceNotFound(ERROR) verdict=NoValidHost"}},
    ),
    Scenario(
        "create whose image is larger than the flavor's disk",
        """
        T con action_start create building/scheduling
        T h1 event_start compute__do_build_and_run_instance building/scheduling
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !FlavorDiskSmallerThanImage
        T h1 fault !BuildAbortException>FlavorDiskSmallerThanImage building/spawning
        T h1 event_finish.end compute__do_build_and_run_instance building/spawning
        """,
        {"create": "FAILED h1:FlavorDiskSmallerThanImage(UNKNOWN)"},
    ),
    Scenario(
        "create without retries, its server is deleted afterwards",
        """
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !HypervisorUnavailable
        T h1 fault !RescheduledException>HypervisorUnavailable building/spawning
        VL h1 instance.delete.start error/deleting @req-2
        VL h1 instance.delete.end deleted/- @req-2
        """,
        {"create": "FAILED h1:HypervisorUnavailable(UNKNOWN)", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "create that takes longer than Nova allows",
        """
        T con action_start create building/scheduling
        T h1 event_start compute__do_build_and_run_instance building/scheduling
        VL h1 instance.create.start building/-
        TVL h1 instance.update error/spawning @req-periodic sys
        """,
        {"create": "FAILED h1:BuildTimedOut(ERROR)"},
    ),
    Scenario(
        "create that takes longer than Nova allows, and works after that",
        """
        T con action_start create building/scheduling
        T h1 event_start compute__do_build_and_run_instance building/scheduling
        VL h1 instance.create.start building/-
        TVL h1 instance.update error/spawning @req-periodic sys
        VL h1 instance.create.end active/-
        T h1 event_finish.end compute__do_build_and_run_instance active/-
        """,
        {"create": "RECOVERED h1:BuildTimedOut(ERROR)"},
    ),
    Scenario(
        "create that is open when its server is deleted",
        """
        T con action_start create
        VL h1 instance.create.start building/-
        T api action_start delete @req-2
        VL h1 instance.delete.end deleted/- @req-2
        """,
        {"create": "CANCELLED", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "shelve with Nova's default offload time",
        """
        T api action_start shelve
        T h1 event_start compute_shelve_instance
        VL h1 instance.shelve.start active/shelving
        VL h1 instance.shelve.end shelved/shelving_offloading
        VL h1 instance.shelve_offload.start shelved/shelving_offloading
        VL h1 instance.shelve_offload.end shelved_offloaded/-
        T h1 event_finish.end compute_shelve_instance
        """,
        {"shelve": "SUCCEEDED"},
    ),
    Scenario(
        "shelve whose offload fails",
        """
        T api action_start shelve
        T h1 event_start compute_shelve_instance
        VL h1 instance.shelve.start active/shelving
        VL h1 instance.shelve.end shelved/shelving_offloading
        VL h1 instance.shelve_offload.start shelved/shelving_offloading
        T h1 fault !InstancePowerOffFailure shelved/shelving_offloading
        T h1 event_finish compute_shelve_instance !InstancePowerOffFailure
        VL h1 exception compute_shelve_instance !InstancePowerOffFailure shelved/-
        """,
        {"shelve": "FAILED h1:InstancePowerOffFailure(OTHER)"},
    ),
    Scenario(
        "shelve, and a periodic task that offloads later",
        """
        T api action_start shelve
        T h1 event_start compute_shelve_instance
        VL h1 instance.shelve.start active/shelving
        VL h1 instance.shelve.end shelved/-
        T h1 event_finish.end compute_shelve_instance
        T h1 event_start compute_shelve_offload_instance @req-periodic sys
        VL h1 instance.shelve_offload.start shelved/shelving_offloading @req-periodic sys
        VL h1 instance.shelve_offload.end shelved_offloaded/- @req-periodic sys
        T h1 event_finish.end compute_shelve_offload_instance @req-periodic sys
        """,
        {"shelve": "SUCCEEDED", "shelveOffload": "SUCCEEDED"},
    ),
    Scenario(
        "rebuild rolls back",
        """
        T api action_start rebuild
        T h1 event_start compute_rebuild_instance
        VL h1 instance.rebuild.start active/rebuilding
        VL h1 instance.rebuild.error active/rebuilding !ComputeResourcesUnavailable
        T h1 fault !BuildAbortException>ComputeResourcesUnavailable active/-
        T h1 event_finish compute_rebuild_instance !BuildAbortException>ComputeResourcesUnavailable
        V h1 exception !BuildAbortException
        L h1 exception compute_rebuild_instance !BuildAbortException active/-
        """,
        {"rebuild": "FAILED h1:ComputeResourcesUnavailable(NONE)"},
        expected_by_way={"versioned": {"rebuild": "FAILED h1:ComputeResourcesUnavailable(UNKNOWN)"}},
    ),
    Scenario(
        "unshelve without a valid host",
        """
        T api action_start unshelve
        T con event_start schedule_instances
        T con event_finish schedule_instances !NoValidHost shelved_offloaded/unshelving
        """,
        {"unshelve": "FAILED con:NoValidHost(NONE)"},
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "unshelve whose image does not exist",
        """
        T api action_start unshelve shelved_offloaded/unshelving
        T con event_start get_image_info
        T con fault !ImageNotFound error/unshelving
        T con event_finish get_image_info !UnshelveException>ImageNotFound
        """,
        {"unshelve": "FAILED con:ImageNotFound(ERROR)"},
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "unshelve of a server that was not offloaded",
        """
        T api action_start unshelve
        T h1 event_start compute_start_instance
        VL h1 instance.power_on.start shelved/powering-on
        VL h1 instance.power_on.end active/-
        T h1 event_finish.end compute_start_instance
        """,
        {"unshelve": "SUCCEEDED"},
    ),
    Scenario(
        "shelve of a server with its root on a volume",
        """
        T api action_start shelve active/shelving
        T h1 event_start compute_shelve_offload_instance active/shelving
        VL h1 instance.shelve_offload.start active/shelving
        VL h1 instance.shelve_offload.end shelved_offloaded/-
        T h1 event_finish.end compute_shelve_offload_instance shelved_offloaded/-
        """,
        {"shelve": "SUCCEEDED"},
    ),
    Scenario(
        "rebuild, server deleted during it: Nova swallows the exception",
        """
        T api action_start rebuild active/rebuilding
        T h1 event_start compute_rebuild_instance active/rebuilding
        VL h1 instance.rebuild.start compute_rebuild_instance active/rebuilding
        T api action_start delete @req-2
        VL h1 instance.rebuild.error active/- !UnexpectedDeletingTaskStateError>NoRowsMatched
        T h1 event_finish.end compute_rebuild_instance active/-
        VL h1 instance.delete.end deleted/- @req-2
        """,
        {"rebuild": "CANCELLED", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "create from a volume that Cinder does not provide",
        """
        T con action_start create building/scheduling
        T h1 event_start compute__do_build_and_run_instance building/scheduling
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/block_device_mapping !BuildAbortException>InvalidBDM
        V h1 instance.volume_detach.start building/block_device_mapping
        VL h1 instance.volume_detach.end building/block_device_mapping
        T h1 fault !BuildAbortException>InvalidBDM building/block_device_mapping
        T h1 event_finish.end compute__do_build_and_run_instance error/-
        """,
        {"create": "FAILED h1:InvalidBDM(ERROR)"},
        expected_by_way={way: {"create": "FAILED h1:InvalidBDM(UNKNOWN)"} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "restarted compute gives up a rebuild",
        """
        T api action_start rebuild active/rebuilding
        T h1 event_start compute_rebuild_instance active/rebuilding
        VL h1 instance.rebuild.start compute_rebuild_instance active/rebuilding
        T h1 instance.update error/- @req-init sys
        """,
        {"rebuild": "FAILED h1:InterruptedByRestart(ERROR)"},
        expected_by_way={way: {"rebuild": "IN_PROGRESS"} for way in ("versioned", "legacy", "both")},
    ),
]
