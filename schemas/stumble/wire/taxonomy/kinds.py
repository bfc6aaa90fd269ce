"""Exception classes that play a part of their own in a request."""

#: The outer class of a failure on one host: never a failure of its own once the cause is known, its text no reason.
WRAPPERS = frozenset(
    {
        "BuildAbortException",
        "RescheduledException",
        "RescheduledByPolicyException",
        "RemoteError",
        "InstanceFaultRollback",
    },
)

#: Names that stumble itself gives to failures that no exception tells.
OWN = frozenset({"InterruptedByRestart", "LiveMigrationRolledBack", "UnknownError"})

#: The summary with which Nova gives up. NoValidHost is one only after a host had failed.
VERDICTS = frozenset({"MaxRetriesExceeded", "NoValidHost"})

#: What a request that a delete of its server cuts short stumbles over: no failures.
RACES = frozenset({"UnexpectedDeletingTaskStateError", "InstanceNotFound"})
