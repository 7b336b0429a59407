from facewave.wire._proto import animation_data_pb2 as _animation_data_pb2
from facewave.wire._proto import animation_id_pb2 as _animation_id_pb2
from facewave.wire._proto import status_pb2 as _status_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
