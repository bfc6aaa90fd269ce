# Creating a server. The step's result is Success whatever happens; a fault recorded by a compute is the end of it.

story create weight=18 needs=new leaves=active
  request create SUCCEEDED
  conductor action_start
  host + compute__do_build_and_run_instance
  host instance.create.start vm=building task=spawning
  host instance.create.end vm=active wait=2
  host - compute__do_build_and_run_instance

story create.rescheduled weight=8 needs=new leaves=active moves=second
  request create RECOVERED effect=NONE failures=a
  cause a build
  conductor action_start
  host + compute__do_build_and_run_instance
  host instance.create.start vm=building task=spawning
  host instance.create.error !a
  host - compute__do_build_and_run_instance
  second + compute__do_build_and_run_instance wait=0.4
  second instance.create.start
  second instance.create.end vm=active wait=2
  second - compute__do_build_and_run_instance

story create.rescheduled_twice weight=2 needs=new leaves=active moves=third
  request create RECOVERED effect=NONE failures=a,b
  cause a build
  cause b build
  conductor action_start
  host + compute__do_build_and_run_instance
  host instance.create.start vm=building task=spawning
  host instance.create.error !a
  host - compute__do_build_and_run_instance
  second + compute__do_build_and_run_instance wait=0.4
  second instance.create.start
  second instance.create.error !b
  second - compute__do_build_and_run_instance
  third + compute__do_build_and_run_instance wait=0.4
  third instance.create.start
  third instance.create.end vm=active wait=2
  third - compute__do_build_and_run_instance

story create.retries_exhausted weight=4 needs=new leaves=error
  request create FAILED effect=ERROR verdict=MaxRetriesExceeded failures=a,b,c
  cause a build
  cause b build
  cause c build
  cause v MaxRetriesExceeded
  conductor action_start
  host + compute__do_build_and_run_instance
  host instance.create.start vm=building task=spawning
  host instance.create.error !a
  host - compute__do_build_and_run_instance
  second + compute__do_build_and_run_instance wait=0.4
  second instance.create.start
  second instance.create.error !b
  second - compute__do_build_and_run_instance
  third + compute__do_build_and_run_instance wait=0.4
  third instance.create.start
  third instance.create.error !c
  third - compute__do_build_and_run_instance
  conductor compute_task.build_instances.error !v vm=error wait=0.3
  conductor fault !v

story create.no_second_host weight=2 needs=new leaves=error
  request create FAILED effect=ERROR verdict=NoValidHost failures=a
  cause a build
  cause v NoValidHost
  conductor action_start
  host + compute__do_build_and_run_instance
  host instance.create.start vm=building task=spawning
  host instance.create.error !a
  host - compute__do_build_and_run_instance
  conductor compute_task.build_instances.error !v vm=error wait=0.3
  conductor fault !v

# The instance is in cell0: no compute processed it, so NoValidHost itself is the failure.
story create.no_valid_host weight=6 needs=new leaves=error
  request create FAILED effect=ERROR failures=a
  cause a NoValidHost
  conductor compute_task.build_instances.error !a vm=error
  conductor action_start
  conductor + conductor_schedule_and_build_instances
  conductor - conductor_schedule_and_build_instances !a

# The notification shows the cause, the fault its wrapper.
story create.aborted_build weight=4 needs=new leaves=error
  request create FAILED effect=ERROR failures=a
  cause a build_abort
  cause w BuildAbortException wraps=a
  conductor action_start
  host + compute__do_build_and_run_instance
  host instance.create.start vm=building task=spawning
  host instance.create.error !a
  host fault !w vm=error
  host - compute__do_build_and_run_instance
