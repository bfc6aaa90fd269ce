"""Exception classes with a special role in a request: wrappers, verdicts, races, and stumble's own."""

#: Outer classes of a failure on one host: not a failure of its own once the cause is known; the text is not a reason.
WRAPPERS = frozenset(
    {
        "BuildAbortException",
        "RescheduledException",
        "RescheduledByPolicyException",
        "RemoteError",
        "InstanceFaultRollback",
    },
)

#: Names that stumble gives to failures without an exception.
OWN = frozenset(
    {
        *("BuildTimedOut", "InterruptedByRestart", "LiveMigrationRolledBack", "PowerUpdateIgnored", "ResizeNotConfirmed"),
        *("UnknownError", "VolumeNotExtended"),
    }
)

#: The summary with which Nova gives up. NoValidHost is a verdict only after a host has failed.
VERDICTS = frozenset({"MaxRetriesExceeded", "NoValidHost"})

#: Raised in a request whose server is deleted meanwhile. They are no failures where a delete is in evidence.
RACES = frozenset({"UnexpectedDeletingTaskStateError", "InstanceNotFound"})
