"""Check the keys that sign and verify records."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from stumble.checks.kafka import connect_cluster
from stumble.checks.model import CheckContext, CheckResult, fine, skipped, warning, wrong
from stumble.provision.topics import TopicPlan, compare
from stumble.signatures.errors import PublicKeysUnusable, SigningKeyUnusable
from stumble.signatures.signing import RecordSigner
from stumble.signatures.verification import PublicKeys, load_public_keys

__all__ = ["check_signatures"]

_SOON_MS = 14 * 24 * 3600 * 1000


def check_signatures(scope: CheckContext) -> Iterator[CheckResult]:
    """Check the relay's private key, the consumers' public keys, and whether one fits the other."""
    kafka, signer = scope.settings.kafka, None
    if kafka.signing_key_file is not None:
        try:
            signer = RecordSigner(kafka.signing_key_file)
            yield fine(str(kafka.signing_key_file), f"the relay signs with key {signer.key_id}")
        except SigningKeyUnusable as error:
            yield wrong(str(kafka.signing_key_file), str(error).rstrip("."), "the relay does not start without it")
    if kafka.public_keys_file is None:
        return
    try:
        public = load_public_keys(kafka.public_keys_file)
    except PublicKeysUnusable as error:
        yield wrong(str(kafka.public_keys_file), str(error).rstrip("."), "the projector does not start without it")
        return
    yield from _keys(kafka.public_keys_file, public)
    if signer is not None and signer.key_id not in public.keys:
        says = f"it lacks key {signer.key_id}, with which the relay of this host signs"
        yield wrong(str(kafka.public_keys_file), says, "add the line that `stumble keys generate` printed")
    elif signer is not None and _is_expired(public.keys[signer.key_id].valid_until_ms):
        says = f"key {signer.key_id} is no longer valid: consumers reject the records of this host's relay"
        yield wrong(str(kafka.public_keys_file), says, "give the relay another key: stumble keys generate")
    if public.uses_times:
        yield from _times_of_topics(scope)


def _is_expired(valid_until_ms: int | None) -> bool:
    return valid_until_ms is not None and valid_until_ms <= time.time_ns() // 1_000_000


def _keys(path: Path, public: PublicKeys) -> Iterator[CheckResult]:
    now_ms = time.time_ns() // 1_000_000
    yield fine(str(path), f"{len(public.keys)} public keys")
    for key in public.keys.values():
        if key.valid_until_ms is not None and 0 < key.valid_until_ms - now_ms < _SOON_MS:
            days = (key.valid_until_ms - now_ms) // 86_400_000
            yield warning(
                f"key {key.key_id}",
                f"it is valid for {days} more days",
                f"give the relay of {', '.join(sorted(key.hosts))} another key before",
            )
    if public.unsigned_until_ms is not None and public.unsigned_until_ms > now_ms:
        yield warning(str(path), "records without a signature are still accepted", "sign on every host, then end this")


def _times_of_topics(scope: CheckContext) -> Iterator[CheckResult]:
    """Check that the broker sets the times of records: the times in the file do not apply to others."""
    kafka = scope.settings.kafka
    connect_cluster(kafka)
    of_broker = {"message.timestamp.type": "LogAppendTime"}
    names = (kafka.topics.actions, kafka.topics.producers)
    for item in compare(kafka, [TopicPlan(name, 1, 1, of_broker, "") for name in names]):
        name = item.plan.name
        if item.partitions is None or item.hidden:
            yield skipped(name, "its settings are not shown to this principal", "see the check `topics`")
        elif item.differing:
            says = "writers set the times of its records, so no `unsigned_until` and no key with `valid_until` is valid"
            yield wrong(name, says, "set message.timestamp.type=LogAppendTime on the topic")
        else:
            yield fine(name, "the broker sets the times of its records")
