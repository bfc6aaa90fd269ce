"""Play scenarios on the cloud, one after another, and return Nova's own view of them."""

from __future__ import annotations

import contextlib
import copy
import time
import traceback
import uuid
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from novaharness import canaries, faults, hosts, view
from novaharness.vocabulary import GIVEN, Call, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from novaharness.cloud import Cloud


IMAGE_VOLUME = {
    "display_name": "root",
    "display_description": "",
    "size": 1,
    "multiattach": False,
    "availability_zone": "nova",
}


class Player:
    """Plays scenarios; calls `watch` with the name of each before it begins."""

    def __init__(self, cloud: Cloud, watch: Callable[[str], None] = lambda _name: None):
        self._cloud = cloud
        self._watch = watch
        services = cloud.admin_api.api_get("/os-services?binary=nova-compute").body["services"]
        self._services = {f"service_{service['host']}": service["id"] for service in services}
        self._huge_flavor = cloud._create_flavor(vcpu=100000, memory_mb=1 << 24)
        self._given = ""
        self._accelerated_flavor = cloud.with_accelerators()
        group = {"name": "apart", "policy": "anti-affinity"}
        self._group = cloud.user_api.api_post("/os-server-groups", {"server_group": group}).body["server_group"]["id"]

    def play(self, scenario: Scenario) -> dict[str, Any]:
        """Prepare, send the request, wait until Nova is idle; return ids and Nova's own view, or `error`."""
        names = self._names()
        result: dict[str, Any] = {"scenario": scenario.name, "server": None, "request_id": None}
        try:
            with options(scenario.options):
                self._watch(f"given {scenario.name}")
                self._given = scenario.given
                for call in (*GIVEN[scenario.given], *scenario.before):
                    self._send_and_wait(call, names)
                self._watch(scenario.name)
                result["started"] = time.time()
                with self._requests_midway(names) as midway_ids, faults.failing(scenario.faults):
                    status, request_id = self._send_and_wait(scenario.call, names, scenario.call.accept)
                requests = {"call": (scenario.call, request_id)}
                if midway_ids:
                    first = next(fault.asks[0] for fault in scenario.faults if fault.asks)
                    requests["midway"] = (first, midway_ids[0])
                for call in scenario.after:
                    requests["after"] = (call, self._send_and_wait(call, names, call.accept)[1])
                judged, request_id = requests[scenario.judged]
                result |= {"status": status, "request_id": request_id, "server": names["server"]}
                result["alone"] = judged.method == "DO"  # a periodic task's work on other servers does not count
        except Exception:  # noqa: BLE001 - one broken scenario must not hide the others
            result["error"] = traceback.format_exc()
        finally:
            for call in scenario.cleanup:
                self._send_and_wait(call, names)
        if "error" in result:
            return result
        result["finished"] = time.time()
        result["nova"] = view.of_request(self._cloud, names["server"], request_id)
        result["nova_server"] = view.of_server(self._cloud, names["server"])
        self._cloud.delete_from_database(names["server"])
        return result

    def _names(self) -> dict[str, str]:
        glance = self._cloud.glance
        return {
            "image": glance.image1["id"],
            "other_image": self._new_image(),  # the fixture lets a backup's rotation delete any image
            "image_volume": self._new_root_volume(),
            "huge_flavor": self._huge_flavor,
            "volume": str(uuid.uuid4()),
            "volume2": str(uuid.uuid4()),
            "share": str(uuid.uuid4()),
            "swap_old": self._cloud.cinder.SWAP_OLD_VOL,
            "swap_new": str(uuid.uuid4()),
            "accelerated_flavor": self._accelerated_flavor,
            "group": self._group,
            **self._services,
            "port": self._cloud.neutron.create_port({"port": {}})["port"]["id"],
        }

    def _new_root_volume(self) -> str:
        volume = str(uuid.uuid4())
        self._cloud.cinder.volumes[volume] = IMAGE_VOLUME | {
            "id": volume,
            "bootable": True,
            "volume_image_metadata": {"image_id": self._cloud.glance.image1["id"]},
        }
        return volume

    def _new_image(self) -> str:
        images = self._cloud.glance.images
        image = copy.deepcopy(self._cloud.glance.image1) | {"id": str(uuid.uuid4())}
        images[image["id"]] = image
        return image["id"]

    @contextlib.contextmanager
    def _requests_midway(self, names: dict[str, str]) -> Iterator[list[str]]:
        """Let faults send API requests while the request runs; yields the request ids of these requests."""
        midway_ids: list[str] = []

        def send_midway(call: Call) -> None:
            with hosts.playing(hosts.CONTROLLER):
                midway_ids.append(self._send(call, names, call.accept)[1])

        faults.Midway.send = send_midway
        try:
            yield midway_ids
        finally:
            faults.Midway.send = lambda _call: ""

    def _send_and_wait(self, call: Call, names: dict[str, str], accept: tuple[int, ...] = ()) -> tuple[int, str]:
        answer = self._send(call, names, accept)
        hosts.wait_idle()
        return answer

    def _send(self, call: Call, names: dict[str, str], accept: tuple[int, ...] = ()) -> tuple[int, str]:
        if call.method == "DO":
            return 0, self._cloud.OPERATIONS[call.path](self._cloud) or ""
        if "{migration}" in call.path:
            migrations = self._cloud.admin_api.api_get(f"/servers/{names['server']}/migrations").body["migrations"]
            names["migration"] = migrations[0]["id"]
        api = self._cloud.admin_api if call.admin else self._cloud.user_api
        send = {"POST": api.api_post, "PUT": api.api_put, "DELETE": api.api_delete}[call.method]
        body, microversion = canaries.planted(call, self._given)
        arguments = [call.path.format(**names)] + ([fill(body, names)] if call.method != "DELETE" else [])
        with using_microversion(api, microversion):
            answer = send(*arguments, check_response_status=[200, 201, 202, 204, 207, *accept])
        if call.path == "/servers":
            names["server"] = answer.body.get("server", {}).get("id", "")
        return answer.status, answer.headers["x-compute-request-id"]


def fill(body: Any, names: dict[str, str]) -> Any:
    """Return a copy of `body` with the names filled in."""
    if isinstance(body, str):
        return body.format(**names) if body.startswith("{") else body
    if isinstance(body, dict):
        return {key: fill(value, names) for key, value in body.items()}
    if isinstance(body, list):
        return [fill(value, names) for value in body]
    return body


@contextlib.contextmanager
def using_microversion(api: Any, microversion: str | None) -> Iterator[None]:
    """Let a client use another microversion inside the block; None changes nothing."""
    before = api.microversion
    api.microversion = microversion or before
    try:
        yield
    finally:
        api.microversion = before


@contextlib.contextmanager
def options(values: dict[str, Any]) -> Iterator[None]:
    """Override nova.conf options, `group.name` or `name`, inside the block."""
    split = [(*name.rpartition(".")[::2], value) for name, value in values.items()]
    for group, name, value in split:
        cfg.CONF.set_override(name, value, group or None)
    try:
        yield
    finally:
        for group, name, _value in split:
            cfg.CONF.clear_override(name, group or None)
