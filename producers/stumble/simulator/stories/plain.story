# Actions that are one step on the instance's host. A line `plain` stands for two stories, NAME and NAME.fails:
#   plain ACTION STEP NOTIFICATION|none POOL weight= needs= leaves= task= effect= [error] (has an .error notification)
# Nova's order on failure: fault (innermost), step finished, compute.exception (outermost).

plain stop compute_stop_instance instance.power_off power_off weight=10 leaves=stopped task=powering-off effect=NONE
plain start compute_start_instance instance.power_on power_on weight=10 needs=stopped leaves=active task=powering-on effect=NONE
plain pause compute_pause_instance instance.pause hypervisor weight=1 leaves=paused task=pausing effect=NONE
plain unpause compute_unpause_instance instance.unpause hypervisor weight=1 needs=paused leaves=active task=unpausing effect=NONE
plain suspend compute_suspend_instance instance.suspend suspend weight=1 leaves=suspended task=suspending effect=ERROR
plain resume compute_resume_instance instance.resume resume weight=1 needs=suspended leaves=active task=resuming effect=ERROR
plain rescue compute_rescue_instance instance.rescue rescue weight=0.5 leaves=rescued task=rescuing effect=ERROR
plain unrescue compute_unrescue_instance instance.unrescue hypervisor weight=0.5 needs=rescued leaves=active task=unrescuing effect=ERROR
plain changePassword compute_set_admin_password none password weight=1 leaves=active task=updating_password effect=NONE
plain trigger_crash_dump compute_trigger_crash_dump instance.trigger_crash_dump hypervisor weight=0.2 leaves=active effect=NONE
plain delete compute_terminate_instance instance.delete terminate weight=14 needs=active,stopped,error,paused,shelved_offloaded leaves=deleted task=deleting effect=ERROR
plain confirmResize compute_confirm_resize instance.resize_confirm hypervisor weight=5 needs=resized leaves=active effect=ERROR
plain shelve compute_shelve_instance instance.shelve snapshot weight=1 needs=stopped leaves=shelved task=shelving effect=NONE
plain shelveOffload compute_shelve_offload_instance instance.shelve_offload hypervisor weight=1 needs=shelved leaves=shelved_offloaded task=shelving_offloading effect=NONE
plain attach_volume compute_attach_volume instance.volume_attach volume weight=6 leaves=active effect=NONE target=volume error
plain detach_volume compute_detach_volume instance.volume_detach volume_detach weight=5 leaves=active effect=NONE target=volume
plain swap_volume compute_swap_volume instance.volume_swap volume weight=0.2 leaves=active effect=NONE target=volume error
plain attach_interface compute_attach_interface instance.interface_attach port weight=2 leaves=active effect=NONE error
plain detach_interface compute_detach_interface instance.interface_detach port_detach weight=2 leaves=active effect=NONE
plain createBackup compute_backup_instance instance.snapshot snapshot weight=1 leaves=active task=image_backup effect=NONE
plain extend_volume compute_extend_volume none volume weight=0.5 leaves=active effect=NONE

story lock weight=1 needs=active,stopped leaves=same
  request lock SUCCEEDED
  api action_start
  api + api_lock
  api instance.lock
  api - api_lock

story unlock weight=1 needs=active,stopped leaves=same
  request unlock SUCCEEDED
  api action_start
  api + api_unlock
  api instance.unlock
  api - api_unlock

story reboot weight=8
  request reboot SUCCEEDED
  api action_start
  host + compute_reboot_instance
  host instance.reboot.start task=reboot_started
  host instance.reboot.end
  host - compute_reboot_instance

# Nova swallows the exception while the guest still runs: the error is followed by an end and a step that succeeded.
story reboot.swallowed weight=5
  request reboot FAILED effect=NONE failures=a
  cause a reboot
  api action_start
  host + compute_reboot_instance
  host instance.reboot.start task=reboot_started
  host fault !a
  host instance.reboot.error !a wait=0.05
  host instance.reboot.end wait=0.05
  host - compute_reboot_instance

story reboot.kills weight=2 leaves=error
  request reboot FAILED effect=ERROR failures=a
  cause a reboot
  api action_start
  host + compute_reboot_instance
  host instance.reboot.start task=reboot_started
  host fault !a vm=error
  host - compute_reboot_instance !a
  host exception !a

# Snapshots run in the background: the step succeeds as soon as the work is queued.
story createImage weight=3
  request createImage SUCCEEDED
  api action_start
  host + compute_snapshot_instance
  host - compute_snapshot_instance
  host instance.snapshot.start task=image_snapshot
  host instance.snapshot.end wait=1.5

story createImage.fails weight=3
  request createImage FAILED effect=NONE failures=a
  cause a snapshot
  api action_start
  host + compute_snapshot_instance
  host - compute_snapshot_instance
  host instance.snapshot.start task=image_snapshot
  host fault !a wait=1.5
