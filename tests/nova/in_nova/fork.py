"""Run in Nova's environment: load the driver as a service does, fork workers, send notifications from all of them.

Usage: fork.py OUTBOX_DIR WORKERS. Exits 0 when every process sent its notifications.
"""

from __future__ import annotations

import os
import sys

import oslo_messaging
from nova import context, rpc
from oslo_config import cfg


def payload(number: int) -> dict:
    """Return the legacy payload of a successful stop; each number is another server."""
    return {"instance_id": f"00000000-0000-4000-8000-{number:012d}", "state": "stopped", "tenant_id": "p"}


def request(request_id: str) -> context.RequestContext:
    """Return the context of a user's request."""
    return context.RequestContext("user", "project", is_admin=False, request_id=request_id)


def main(outbox: str, workers: int) -> int:
    """Notify before the fork, in every worker, and after the fork; the parent waits for them."""
    conf = cfg.ConfigOpts()
    conf([])
    transport = oslo_messaging.get_notification_transport(conf, "fake://")
    oslo_messaging.Notifier(transport)  # registers the options
    conf.set_override("driver", ["stumble"], "oslo_messaging_notifications")
    from stumble.nova import options

    conf.register_opts(options.list_opts()[0][1], "stumble")
    conf.set_override("outbox_dir", outbox, "stumble")
    serializer = rpc.RequestContextSerializer(rpc.JsonPayloadSerializer())
    notifier = oslo_messaging.Notifier(transport, publisher_id="compute.host1", serializer=serializer)
    notifier.info(request("req-parent"), "compute.instance.power_off.end", payload(0))
    children = []
    for number in range(1, workers + 1):
        child = os.fork()
        if not child:
            notifier.info(request(f"req-{number}"), "compute.instance.power_off.end", payload(number))
            os._exit(0)  # as after kill -9: nothing may depend on atexit
        children.append(child)
    notifier.info(request("req-parent"), "compute.instance.power_off.end", payload(workers + 1))
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2])))
