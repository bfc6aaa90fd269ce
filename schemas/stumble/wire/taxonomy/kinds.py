"""Exception classes with a special role in a request: wrappers, verdicts, races, and stumble's own."""

#: Outer classes of a failure on one host: not a failure of its own once the cause is known; the cause decides.
WRAPPERS = frozenset(
    {
        "BuildAbortException",
        "RescheduledException",
        "RescheduledByPolicyException",
        "RemoteError",
        "InstanceFaultRollback",
        "InvalidBDM",  # nova/compute/manager.py, _prep_block_device: raised from any exception, with its text
    },
)

#: Wrappers whose text Nova records as the instance's fault, so that its users read it.
SHOWN_WRAPPERS = frozenset({"BuildAbortException", "InvalidBDM"})

#: Classes that quote another exception's text after Nova has recorded that exception as the fault, by Nova's rule:
#: nova/conductor/manager.py, _live_migrate.
QUOTING = frozenset({"MigrationError"})

#: Names that stumble gives to failures without an exception.
OWN = frozenset(
    {
        *(
            "BuildTimedOut",
            "InterruptedByRestart",
            "LiveMigrationRolledBack",
            "PowerUpdateIgnored",
            "ResizeNotConfirmed",
        ),
        *("UnknownError", "VolumeNotExtended"),
    }
)

#: The summary with which Nova gives up. NoValidHost is a verdict only after a host has failed.
VERDICTS = frozenset({"MaxRetriesExceeded", "NoValidHost"})

#: Raised in a request whose server is deleted meanwhile. They are no failures where a delete is in evidence.
RACES = frozenset({"UnexpectedDeletingTaskStateError", "InstanceNotFound"})
