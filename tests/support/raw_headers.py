"""Writes records whose header names are any bytes, as clients of other languages do: Python's takes text only."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_int32, c_size_t
from pathlib import Path

import confluent_kafka

#: Arguments of `rd_kafka_producev` (rdkafka.h, rd_kafka_vtype_t).
_END, _TOPIC, _PARTITION, _VALUE, _KEY, _FLAGS, _HEADER = 0, 1, 3, 4, 5, 7, 9
_COPY = 2
_PRODUCER = 0
_SECONDS = 30


def produce_with_header(
    bootstrap_servers: str, topic: str, partition: int, value: bytes, header: tuple[bytes, bytes], key: bytes = b"k"
) -> None:
    """Write one record with one header, through the library that Python's client contains."""
    library = _librdkafka()
    error = ctypes.create_string_buffer(512)
    conf = library.rd_kafka_conf_new()
    setting = (b"bootstrap.servers", bootstrap_servers.encode())
    assert library.rd_kafka_conf_set(conf, *setting, error, c_size_t(512)) == 0, error.value
    client = library.rd_kafka_new(_PRODUCER, conf, error, c_size_t(512))
    assert client, error.value
    try:
        refused = library.rd_kafka_producev(
            ctypes.c_void_p(client),
            *(c_int(_TOPIC), c_char_p(topic.encode())),
            *(c_int(_PARTITION), c_int32(partition)),
            *(c_int(_FLAGS), c_int(_COPY)),
            *(c_int(_KEY), c_char_p(key), c_size_t(len(key))),
            *(c_int(_VALUE), c_char_p(value), c_size_t(len(value))),
            *(c_int(_HEADER), c_char_p(header[0]), c_char_p(header[1]), c_size_t(len(header[1]))),
            c_int(_END),
        )
        assert refused == 0, f"librdkafka refuses the record: error {refused}"
        assert library.rd_kafka_flush(ctypes.c_void_p(client), c_int(_SECONDS * 1000)) == 0
    finally:
        library.rd_kafka_destroy(ctypes.c_void_p(client))


def _librdkafka() -> ctypes.CDLL:
    """Return the library that is part of the package `confluent_kafka`."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka*.so*")
    library = ctypes.CDLL(str(path))
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_conf_set.argtypes = [ctypes.c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_new.argtypes = [c_int, ctypes.c_void_p, c_char_p, c_size_t]
    return library
