"""`tf.train.Example` without TensorFlow, whose import takes five seconds in every process that writes or reads a shard.

The message is built from its published definition (tensorflow/core/example/{example,feature}.proto) by protobuf's own
runtime, under a name of its own so that it can live beside TensorFlow's.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from helmholtz.errors import ShardError

_PACKAGE = "helmholtz.tensorflow"
_Field = descriptor_pb2.FieldDescriptorProto


def encode_example(key: str, label: int, payload: bytes) -> bytes:
    """A serialised Example with the features ``key`` (UTF-8), ``label`` and ``payload``, sorted by name."""
    example = _message()()
    feature = example.features.feature
    feature["key"].bytes_list.value.append(key.encode())
    feature["label"].int64_list.value.append(label)
    feature["payload"].bytes_list.value.append(payload)
    return bytes(example.SerializeToString(deterministic=True))


def decode_example(data: bytes) -> tuple[str, int, bytes]:
    """(key, label, payload) of a serialised Example, whoever wrote it. Raises ShardError if it isn't one of ours."""
    example = _message()()
    try:
        example.ParseFromString(data)
        feature = example.features.feature
        (key,) = feature["key"].bytes_list.value
        (label,) = feature["label"].int64_list.value
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
