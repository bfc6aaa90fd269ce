"""Send notifications as Nova does, with oslo.messaging's notifier: ``notify.py URL COUNT INSTANCE``."""

import sys

from stumble.bridge.oslo import cfg, oslo_messaging


class Context:
    """The context that Nova passes to its notifier."""

    def to_dict(self):
        request = "req-5b6c791d-5709-4f36-8fbe-c3e02869e35d"
        return {"request_id": request, "project_id": "p", "user_id": "u", "auth_token": "secret"}

    def redacted_copy(self):
        return self


def main(url, count, instance):
    conf = cfg.ConfigOpts()
    conf([], project="nova", default_config_files=[], default_config_dirs=[])
    oslo_messaging.set_transport_defaults(control_exchange="nova")
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    notifier = oslo_messaging.Notifier(
        transport, publisher_id="nova-compute:host1", driver="messagingv2", topics=["versioned_notifications"]
    )
    data = {"uuid": instance, "tenant_id": "owner", "state": "active", "task_state": None, "fault": None}
    payload = {
        "nova_object.name": "InstanceActionPayload",
        "nova_object.namespace": "nova",
        "nova_object.version": "1.8",
        "nova_object.data": data,
    }
    for _ in range(count):
        notifier.info(Context(), "instance.power_off.start", payload)
    transport.cleanup()


main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
