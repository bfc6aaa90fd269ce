"""Send notifications through oslo.messaging's own Kafka driver; print the time of each call in ns."""

import json
import sys
import time
from pathlib import Path

import oslo_messaging
from oslo_config import cfg


def main():
    bootstrap, topic, events, pause = sys.argv[1:5]
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    transport = oslo_messaging.get_notification_transport(conf, url=f"kafka://{bootstrap}/")
    notifier = oslo_messaging.Notifier(
        transport, publisher_id="nova-compute:bench", driver="messagingv2", topics=[topic]
    )
    payloads = [json.loads(line) for line in Path(events).read_text().splitlines()]
    context = {"request_id": "req-bench", "user_id": "u", "project_id": "p"}
    taken = []
    for payload in payloads:
        begin = time.perf_counter_ns()
        notifier.info(context, payload["source"]["event_type"], payload)
        taken.append(time.perf_counter_ns() - begin)
        if float(pause):
            time.sleep(float(pause))
    print(json.dumps({"nanoseconds": taken}))


if __name__ == "__main__":
    main()
