"""`tf.train.Example` without TensorFlow, whose import takes five seconds in every process that writes or reads a shard.

It is read by protobuf's own runtime, from its published definition (tensorflow/core/example/{example,feature}.proto) under a
name of its own so that it can live beside TensorFlow's. It is written by hand in protobuf's published encoding, for at 32x32
pixels building messages took as long as compressing the pictures; tests hold the bytes against those of both runtimes.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from helmholtz.errors import ShardError

_PACKAGE = "helmholtz.tensorflow"
_Field = descriptor_pb2.FieldDescriptorProto


def identity(key: str, label: int) -> bytes:
    """The part of an Example that a record has at every level: the features ``key`` (UTF-8) and ``label`` (an int64).

    Features are sorted by name; with `around_identity`, the bytes are those of protobuf's deterministic serialisation.
    """
    name = key.encode()
    return b"".join((_key_start(len(name)), name, _label_feature(label)))


@functools.lru_cache(maxsize=1 << 10)
def _key_start(nbytes: int) -> bytes:
    """What stands before a key of `nbytes`."""
    return _feature(b"key", _field(1, _field(1, b"", nbytes), nbytes), nbytes)


@functools.lru_cache(maxsize=1 << 10)
def _label_feature(label: int) -> bytes:
    if not -(1 << 63) <= label < 1 << 63:
        raise ValueError(f"label {label} is no int64")
    return _feature(b"label", _field(3, _field(1, _varint(label % (1 << 64)))))  # a negative one takes ten bytes


def around_identity(nbytes: int, payload: int) -> tuple[bytes, bytes]:
    """What stands before an `identity` of `nbytes`, and what between it and the feature ``payload`` of so many bytes."""
    # Lengths, the innermost first: of the payload, BytesList, Feature and FeatureEntry. By hand, for each record at each level.
    own = _varint(payload)
    nested = payload + len(own) + 1
    in_list = _varint(nested)
    nested += len(in_list) + 1
    in_feature = _varint(nested)
    in_entry = _varint(nested + len(in_feature) + 1 + 9)
    between = b"".join((b"\n", in_entry, b"\n\x07payload\x12", in_feature, b"\n", in_list, b"\n", own))
    return b"\n" + _varint(nbytes + len(between) + payload), between


def _feature(name: bytes, value: bytes, more: int = 0) -> bytes:
    """An entry of the map in Features, whose last `more` bytes follow."""
    entry = _field(1, name) + _field(2, value, more)
    return _field(1, entry, more)


def _field(number: int, content: bytes, more: int = 0) -> bytes:
    """A field with a length: text, bytes, a message or packed numbers. The last `more` bytes of its content follow."""
    return bytes([number << 3 | 2]) + _varint(len(content) + more) + content


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    if 1 << 7 <= number < 1 << 14:  # most
        return bytes((number & 127 | 128, number >> 7))
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def decode_example(data: bytes) -> tuple[str, int, bytes]:
    """(key, label, payload) of a serialised Example, whoever wrote it. Raises ShardError if it isn't one of ours."""
    try:
        feature = _message().FromString(data).features.feature
        (key,), (label,) = feature["key"].bytes_list.value, feature["label"].int64_list.value
        (payload,) = feature["payload"].bytes_list.value
        return key.decode(), label, payload
    except (DecodeError, ValueError) as error:
        raise ShardError("no Example with one key, label and payload") from error


@functools.cache
def _message() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="helmholtz/example.proto", package=_PACKAGE, syntax="proto3")

    def add(message: Any, name: str, number: int, kind: int, *, of: str = "", repeated: bool = False) -> Any:
        label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
        type_name = f".{_PACKAGE}.{of}" if of else None
        return message.field.add(name=name, number=number, type=kind, label=label, type_name=type_name)

    add(file.message_type.add(name="BytesList"), "value", 1, _Field.TYPE_BYTES, repeated=True)
    add(file.message_type.add(name="FloatList"), "value", 1, _Field.TYPE_FLOAT, repeated=True)
    add(file.message_type.add(name="Int64List"), "value", 1, _Field.TYPE_INT64, repeated=True)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, of) in enumerate(
        (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")), start=1
    ):
        add(feature, name, number, _Field.TYPE_MESSAGE, of=of).oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, _Field.TYPE_STRING)
    add(entry, "value", 2, _Field.TYPE_MESSAGE, of="Feature")
    add(features, "feature", 1, _Field.TYPE_MESSAGE, of="Features.FeatureEntry", repeated=True)
    add(file.message_type.add(name="Example"), "features", 1, _Field.TYPE_MESSAGE, of="Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))
