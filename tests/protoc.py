"""The compiler of Protobuf, as a judge of the files that we write."""

import importlib.resources
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc


def compile_proto(text: str, folder: Path) -> tuple[FileDescriptorProto, Callable[[str], Any]]:
    """Return the descriptor of a file, and what gives the class of a message by its full name."""
    (folder / "file.proto").write_text(text)
    made = folder / "file.pb"
    include = importlib.resources.files("grpc_tools") / "_proto"
    status = protoc.main(
        ["protoc", f"-I{folder}", f"-I{include}", f"--descriptor_set_out={made}", str(folder / "file.proto")]
    )
    assert status == 0, text
    [file] = FileDescriptorSet.FromString(made.read_bytes()).file
    pool = DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return file, lambda name: GetMessageClass(pool.FindMessageTypeByName(name))
