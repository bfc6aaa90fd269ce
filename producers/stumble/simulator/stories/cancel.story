# A delete cuts another request short: that one is cancelled, and its race exceptions are no failures.

story create.deleted_midway weight=1 needs=new leaves=deleted
  request create CANCELLED
  request delete SUCCEEDED id=1
  cause a UnexpectedDeletingTaskStateError
  conductor action_start
  host + compute__do_build_and_run_instance
  host instance.create.start vm=building task=spawning
  api action_start req=1 wait=0.8
  host instance.create.error !a task=deleting
  host - compute__do_build_and_run_instance
  host + compute_terminate_instance req=1
  host instance.delete.start req=1 task=deleting
  host instance.delete.end req=1 vm=deleted wait=0.5
  host - compute_terminate_instance req=1

# Deleting a server that waits for its resize to be confirmed: one request id, two requests.
story delete.confirms_resize weight=0.5 needs=resized leaves=deleted
  request confirmResize SUCCEEDED
  request delete SUCCEEDED
  api action_start
  host + compute_confirm_resize
  host instance.resize_confirm.start
  host instance.resize_confirm.end vm=active
  host - compute_confirm_resize
  api action_start req=1
  host + compute_terminate_instance req=1
  host instance.delete.start req=1 task=deleting
  host instance.delete.end req=1 vm=deleted
  host - compute_terminate_instance req=1
