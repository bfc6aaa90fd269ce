"""Messages that differ only in what varies are one problem; messages that name another cause are not."""

from __future__ import annotations

import itertools

import pytest

from stumble.outcome.derive import derive_requests
from stumble.outcome.facts import fact_of
from stumble.outcome.fingerprint import fingerprint_of, message_hash, normalise_message
from stumble.testing.events import decoded, failure


@pytest.mark.parametrize(
    ("message", "normal"),
    [
        ("Instance 0b7b2d5e-6f3a-4c55-8a4e-0d9c1b2a3f44 could not be found.", "Instance * could not be found."),
        ("Volume 0b7b2d5e6f3a4c558a4e0d9c1b2a3f44 is gone", "Volume * is gone"),
        ("Connection to 192.168.10.11:5672 refused", "Connection to * refused"),
        ("net 10.0.0.0/24 is full", "net * is full"),
        ("fe80::1ff:fe23:4567:890a is unreachable", "* is unreachable"),
        ("port fa:16:3e:11:22:33 is down", "port * is down"),
        ("Request req-0b7b2d5e-6f3a-4c55-8a4e-0d9c1b2a3f44 timed out after 60 s", "Request * timed out after *"),
        ("No space at /var/lib/nova/instances/_base/3f44 left", "No space at * left"),
        ("host compute-17 has  3\nerrors", "host compute-* has * errors"),
        ("Ports ['3f2a', '9c1e', '7d'] and [5] are down", "Ports ['*'] and [*] are down"),
        ("cmp-1, cmp-2, cmp-3 do not answer", "cmp-* do not answer"),
    ],
)
def test_normalise_replaces_ids_addresses_paths_and_numbers(message: str, normal: str) -> None:
    assert normalise_message(message) == normal


#: What varies: two or more values that stand in the same place of a message.
VARYING = {
    "libvirt's name of a server": ("instance-0000002a", "instance-00000f3b", "instance-000000cd"),
    "device of a port": ("tap3f2a9c1e-9b", "tapd04cc1aa-7e", "tapfacedabe-ab"),
    "bridge of a port": ("qbr3f2a9c1e-9b", "qbrd04cc1aa-7e"),
    "devices of a port": ("qvo3f2a9c1e-9b", "qvob04cc1aa-7e"),
    "router's device": ("qr-3f2a9c1e-9b", "qr-aaaaaaaa-ff"),
    "libvirt's network device": ("vnet3", "vnet117"),
    "disk": ("vda", "vdb", "vdh", "vdaa"),
    "disk with partition": ("sda1", "sdb", "hdc"),
    "Xen disk": ("xvdb", "xvdc"),
    "NVMe disk": ("nvme0n1", "nvme12n1"),
    "PCI address": ("0000:3b:00.1", "0000:af:02.7"),
    "PCI device": ("pci_0000_3b_00_1", "pci_0000_af_02_7"),
    "MAC address": ("fa:16:3e:11:22:33", "fa:16:3e:aa:bb:cc"),
    "WWN": ("50:01:43:80:18:6b:cc:dd", "50:01:43:80:ab:cd:ef:ab"),
    "object's address": ("0x7f2b3c4d5e60", "0xdeadbeef"),
    "id": ("3f2a9c1e9b7d4e0f8a6b5c4d3e2f1a0b", "abcdefabcdefabcdefabcdefabcdefab"),
    "id after an underscore": ("reply_3f2a9c1e9b7d", "reply_9b7d4e0f8a6b"),
    "checksum": ("d41d8cd98f00b204e9800998ecf8427e", "9e107d9d372bb6826bd81d3542a419d6"),
    "uuid": ("1B4E28BA-2FA1-11D2-883F-0016D3CCA427", "6fa459ea-ee8a-3ca4-894e-db77e160355e"),
    "logical volume": ("vg-volume--1b4e28ba--2fa1--11d2--883f--0016d3cca427",
                       "vg-volume--6fa459ea--eeee--cccc--bbbb--db77e160355e"),
    "time": ("2024-05-01T10:11:12.345Z", "2025-11-30T23:59:01Z", "2025-11-30 23:59:01.5+00:00", "2025-12-01"),
    "time of day": ("10:11:12", "9:01:00"),
    "duration": ("60 s", "120s", "2.5 seconds", "1 second", "3 minutes", "1h"),
    "size": ("4096 MB", "8 GiB", "512 bytes", "17179869184", "1.5G", "1 byte"),
    "share": ("99%", "99.5 %"),
    "IPv4 address": ("10.0.0.1", "192.168.122.250:5900"),
    "IPv6 address": ("fe80::1", "2001:db8::1ff:fe23:4567:890a", "fd00::/8", "2001:db8::/32"),
    "list of numbers": ("[1]", "[1, 2, 17]"),
    "range of CPUs": ("0-3", "0,4-7", "12"),
    "host with a number": ("cmp-017.example.org", "cmp-231.example.org"),
    "URL": ("http://c:8776/v3/9f8e7d6c5b4a39281706f5e4d3c2b1a0", "http://c:8776/v3/00112233445566778899aabbccddeeff"),
    "path": ("/var/lib/nova/instances/1b4e28ba/disk", "/var/lib/nova/instances/_base/abc"),
    "short PCI address": ("3b:00.1", "af:02.7"),
    "host after a colon": ("broken on host: rack-a", "broken on host: rack-b"),
    "host at the end": ("broken on host rack-a", "broken on host rack-b"),
}  # fmt: skip


@pytest.mark.parametrize("values", VARYING.values(), ids=VARYING)
@pytest.mark.parametrize("text", ["Detaching {}", "internal error: '{}': not found", 'Cannot use "{}" (busy)'])
def test_messages_that_differ_in_one_varying_value_have_one_hash(text: str, values: tuple[str, ...]) -> None:
    normal = {normalise_message(text.format(value.replace("'", "" if "'" in text else "'"))) for value in values}
    assert len(normal) == 1


#: Texts of Nova (nova/exception.py, nova/virt/libvirt) and of the libraries that it calls, with places for values.
NOVA = [
    "Binding failed for port {uuid}, please check neutron logs for more information.",
    "Block Device Mapping {uuid} is a multi-attach volume and is not valid for this operation.",
    "Build of instance {uuid} aborted: Failed to allocate the network(s), not rescheduling.",
    "CPU set to pin [{number}, {number}] must be a subset of free CPU set [{number}]",
    "Cannot access storage file '/var/lib/nova/instances/{uuid}/disk' (as uid:{number}): Permission denied",
    "Compute host {host} could not be found.",
    "Compute service of {host} is unavailable at this time.",
    "Connection to glance host http://{address}:9292 failed: timed out",
    "Connection to the hypervisor is broken on host: {host}",
    "Could not fetch image {uuid}",
    "Device detach failed for {disk}: Unable to detach the device from the live config.",
    "Device '{disk}' not found.",
    "Domain not found: no domain with matching name '{name}'",
    "Image '{name}' is not active.",
    "Domain not found: no domain with matching uuid '{uuid}' ({domain})",
    "Error from libvirt while looking up {domain}: [Error Code 38] Cannot recv data: Connection reset by peer",
    "Failed to activate binding for port {uuid} on host {host}; please check neutron logs for more information",
    "Failed to allocate the network(s) with error No fixed IP addresses available for network: {uuid}",
    "Failed to delete binding for port(s) {uuid} on host {host}; please check neutron logs for more information",
    'Failed to get shared "write" lock Is another process using the image [/dev/{disk}]?',
    "Failed to move allocations from consumer {uuid} to consumer {uuid}. Error: conflict",
    "Failed to submit live migration {uuid} for instance {uuid} for processing.",
    "Fixed IP address {address} is already in use on instance {uuid}.",
    "Flavor's disk is too small for requested image. Flavor disk is {number} bytes, image is {number} bytes.",
    "Image {uuid} is unacceptable: Image is not raw format",
    "Instance {uuid} in vm_state error. Cannot reboot while the instance is in this state.",
    "Insufficient compute resources: Free memory {number}.00 MB < requested {number} MB.",
    "internal error: Unable to add port {tap} to OVS bridge br-int",
    "internal error: qemu unexpectedly closed the monitor: {time}Z qemu-kvm: cannot set up guest memory",
    "internal error: process exited while connecting to monitor: {time}Z qemu-kvm: -drive rbd:vms/{uuid}_disk",
    "PCI device {number}:0000:{pci} is allocated instead of available",
    "Physical Function {number}:{pci}, related to VF {number}:{pci} is claimed instead of available",
    "Pre-checks failed on host '{host}'. Error: no room",
    "Quota exceeded for instances: Requested {number}, but already used {number} of {number} instances",
    "Requested vCPU limits {number}:{number}:{number} are impossible to satisfy for vcpus count {number}",
    "Service with host {host} binary nova-compute exists.",
    "The supplied disk path (/var/lib/nova/instances/{uuid}) already exists, it is expected not to exist.",
    "Timed out during operation: cannot acquire state change lock (held by agent={number})",
    "Timed out waiting for a reply to message ID {hex}",
    "Unable to migrate instance ({uuid}) to current host ({host}).",
    "Volume {uuid} could not be attached. Reason: no path",
    "Volume {uuid} did not finish being created even after we waited {number} seconds or {number} attempts.",
    "HTTPConnectionPool(host='controller', port=9696): Read timed out. (read timeout={number})",
    "HTTPSConnectionPool(host='cinder', port=8776): Max retries exceeded with url: /v3/{hex}/attachments/{uuid}",
    "NewConnectionError('<urllib3.connection.HTTPSConnection object at 0x{hex12}>: [Errno 111] Connection refused')",
    "(pymysql.err.OperationalError) (1205, 'Lock wait timeout exceeded; try restarting transaction') [id {hex}]",
    "Request to http://{address}:9696/v2.0/ports/{uuid} timed out (HTTP 504) (Request-ID: req-{uuid})",
    "Command: qemu-img convert /var/lib/nova/{uuid}/disk /tmp/{hex12}\nExit code: 1\nStderr: 'error at {number}'",
]  # fmt: skip
FILLINGS = [
    {
        "uuid": "0b7b2d5e-6f3a-4c55-8a4e-0d9c1b2a3f44", "number": "8", "host": "compute-3", "address": "10.0.0.7",
        "disk": "vdb", "domain": "instance-0000002a", "tap": "tap3f2a9c1e-9b", "time": "2024-05-01T10:11:12.345",
        "pci": "3b:00.1", "name": "web", "hex": "3f2a9c1e9b7d4e0f8a6b5c4d3e2f1a0b", "hex12": "7f2b3c4d5e60",
    },
    {
        "uuid": "ffffffff-eeee-4ddd-aaaa-bbbbbbbbbbbb", "number": "17179869184", "host": "compute-1201",
        "address": "fd00::12:1", "disk": "sdaa", "domain": "instance-00abcdef", "tap": "tapdeadbeef-fa",
        "time": "2025-11-30T23:59:01", "pci": "af:02.7", "name": "data base", "hex": "abcdefabcdefabcdefabcdefabcdefab",
        "hex12": "ffffffffffff",
    },
]  # fmt: skip


@pytest.mark.parametrize("text", NOVA)
def test_text_of_nova_has_one_hash_whatever_fills_it(text: str) -> None:
    first, second = (normalise_message(text.format_map(values)) for values in FILLINGS)
    assert first == second


def test_texts_of_nova_have_different_hashes() -> None:
    for values in FILLINGS:
        hashes = {message_hash(text.format_map(values)) for text in NOVA}
        assert len(hashes) == len(NOVA)


@pytest.mark.parametrize(
    "messages",
    [
        (
            "Unexpected response from the image service: HTTP 401",
            "Unexpected response from the image service: HTTP 503",
        ),
        ("Failed (HTTP 401) (Request-ID: req-0b7b2d5e6f)", "Failed (HTTP 409) (Request-ID: req-0b7b2d5e6f)"),
        ("HTTP/1.1 502 for 10.0.0.1", "HTTP/1.1 504 for 10.0.0.1"),
        ("HTTPError: 404", "HTTPError: 403"),
        ("got status 500", "got status 507"),
        ("{'status': 409, 'id': 7}", "{'status': 404, 'id': 7}"),
        ("status_code=401", "status_code=403"),
        ("response code 429, waited 3 s", "response code 413, waited 3 s"),
        ("[Errno 28] write", "[Errno 13] write"),
        ("errno=28", "errno=-5"),
        ("Exit code: 1", "Exit code: 32"),
        ("exit status 1", "exit status 127"),
        ("returncode=-9", "returncode=-11"),
        ("libvirt: [Error Code 38] lost", "libvirt: [Error Code 1] lost"),
        ("mount.nfs: error 32", "mount.nfs: error 5"),
        ("WMI code 0x80004005", "WMI code 0x80070005"),
        ("qemu was killed by signal 9", "qemu was killed by signal 11"),
        ("IPv4 is not enabled", "IPv6 is not enabled"),
        ("Connection refused", "Connection reset by peer"),
        ("name 'foo' is not defined", "name 'bar' is not defined"),
        ("'NoneType' object has no attribute 'id'", "'NoneType' object has no attribute 'host'"),
        ("host='keystone', port=5000", "host='cinder', port=5000"),
        ("Failed to attach device: Timeout", "Failed to attach device: Refused"),
        ("Cannot reach host: not found", "Cannot reach host: not allowed"),
    ],
)
def test_messages_that_name_different_causes_have_different_hashes(messages: tuple[str, str]) -> None:
    assert message_hash(messages[0]) != message_hash(messages[1])


def test_message_cut_by_nova_at_255_characters_has_the_same_hash() -> None:
    text = "Unexpected error while running command. " * 20
    assert message_hash(text) == message_hash(text[:255])


def test_fingerprint_depends_on_class_and_message_alone() -> None:
    one = fingerprint_of("libvirtError", message_hash("boom on vdb"))
    assert one.startswith("v1:")
    assert one == fingerprint_of("libvirtError", message_hash("boom on vdc"))
    others = {
        fingerprint_of("libvirtError", message_hash("lost")),
        fingerprint_of("libvirtError", None),
        fingerprint_of("DiskNotFound", message_hash("boom on vdb")),
    }
    assert len(others | {one}) == 4


def test_one_dead_hypervisor_is_one_problem_whatever_was_requested() -> None:
    text = "Connection to the hypervisor is broken on host: cmp-7"
    facts = [
        fact_of(
            decoded(
                action=action, request_id=f"req-{action}", phase="ERROR", failure=failure("HypervisorUnavailable", text)
            )
        )
        for action in ("stop", "start", "reboot", "pause", "suspend", "resume", "rescue", "rebuild", "resize", "create")
    ]
    failures = [one for record in derive_requests(facts[0].event_id, facts) for one in record.failures]
    assert len(failures) == 10
    assert len({one.fingerprint for one in failures}) == 1


@pytest.mark.parametrize("without_text", [{"message": None}, {"message": "PortBindingFailed"}])
def test_failure_whose_first_sighting_has_no_text_belongs_to_the_problem_of_its_text(
    without_text: dict[str, str],
) -> None:
    full = decoded(at=1, phase="ERROR", failure=failure("PortBindingFailed", "Binding failed for port 7"))
    first = decoded(phase="ERROR", failure={**failure("PortBindingFailed", "PortBindingFailed"), **without_text})
    problems = []
    for events in ([full], [first, full]):
        (record,) = derive_requests(full["instance_uuid"], map(fact_of, events))
        (only,) = record.failures
        problems.append(only.fingerprint)
    assert problems[0] == problems[1] != fingerprint_of("PortBindingFailed", None)


def test_hostile_message_is_normalised_quickly() -> None:
    parts = [
        "/", "a:", "1.", "f", "\ud800", "*", "*,", "*a", "a*,", "1 ", "host '", "http_", "status:  ", "aaaa:",
        "2024-01-01T", "aa/@.-+", "0b7b2d5e-", "é1", "x*", "instance 'a", "-*", "ab1, ",
    ]  # fmt: skip
    for first, second in itertools.product(parts, parts):
        assert len(normalise_message(first + second * 20_000)) <= 200
        assert len(normalise_message((first + second) * 20_000)) <= 200
