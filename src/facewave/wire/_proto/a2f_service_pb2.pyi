from facewave.wire._proto import a2f_pb2 as _a2f_pb2
from facewave.wire._proto import status_pb2 as _status_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
