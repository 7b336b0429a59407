"""The committed protocol modules: made from their sources, and the same on the wire as the published schema."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import Default

from facewave.wire._proto import (  # noqa: F401  Importing registers the files' names.
    a2f_authoring_service_pb2,
    a2f_controller_service_pb2,
    a2f_service_pb2,
    a2x_export_config_service_pb2,
    animation_controller_service_pb2,
    animation_data_service_pb2,
    emotion_aggregate_pb2,
)

ROOT = Path(__file__).parents[3]


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "proto/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_modules_are_what_the_sources_generate(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    made = {path.name: path.read_text() for path in _generator().generate(tmp_path)}
    committed = ROOT / "src/facewave/wire/_proto"
    found = {path.name: path.read_text() for path in committed.glob("*_pb2*") if path.suffix in (".py", ".pyi")}
    assert found == made, "run `make proto`"


# The published schema: message -> "number name type", `?` for explicit presence, `*` for repeated, `{}` for maps.
SCHEMA = {
    "audio.v1.AudioHeader": (
        "1 audio_format enum", "2 channel_count uint32", "3 samples_per_second uint32", "4 bits_per_sample uint32",
    ),
    "animation_id.v1.AnimationIds": ("1 request_id string", "2 stream_id string", "3 target_object_id string"),
    "emotion_with_timecode.v1.EmotionWithTimeCode": ("1 time_code double", "2 emotion {string float}"),
    "emotion_aggregate.v1.EmotionAggregate": (
        "1 input_emotions *EmotionWithTimeCode", "2 a2e_output *EmotionWithTimeCode",
        "3 a2f_smoothed_output *EmotionWithTimeCode",
    ),
    "status.v1.Status": ("1 code enum", "2 message string"),
    "a2f.v1.AudioStream": (
        "1 audio_stream_header stream_part.AudioStreamHeader", "2 audio_with_emotion stream_part.AudioWithEmotion",
    ),
    "a2f.v1.AudioStreamHeader": (
        "1 animation_ids AnimationIds", "2 audio_header AudioHeader", "3 face_params FaceParameters",
        "4 emotion_post_processing_params EmotionPostProcessingParameters", "5 blendshape_params BlendShapeParameters",
        "6 emotion_params EmotionParameters",
    ),
    "a2f.v1.FloatArray": ("1 values *float",),
    "a2f.v1.FaceParameters": (
        "1 float_params {string float}", "2 integer_params {string int32}", "3 float_array_params {string FloatArray}",
    ),
    "a2f.v1.BlendShapeParameters": (
        "1 bs_weight_multipliers {string float}", "2 bs_weight_offsets {string float}",
        "3 enable_clamping_bs_weight ?bool",
    ),
    "a2f.v1.EmotionParameters": ("1 live_transition_time ?float", "2 beginning_emotion {string float}"),
    "a2f.v1.EmotionPostProcessingParameters": (
        "1 emotion_contrast ?float", "2 live_blend_coef ?float", "3 enable_preferred_emotion ?bool",
        "4 preferred_emotion_strength ?float", "5 emotion_strength ?float", "6 max_emotions ?int32",
    ),
    "a2f.v1.AudioWithEmotion": ("1 audio_buffer bytes", "2 emotions *EmotionWithTimeCode"),
    "animation_data.v1.AnimationDataStreamHeader": (
        "1 animation_ids AnimationIds", "2 source_service_id ?string", "3 audio_header ?AudioHeader",
        "4 skel_animation_header ?SkelAnimationHeader", "5 start_time_code_since_epoch double",
    ),
    "animation_data.v1.AnimationDataStream": (
        "1 animation_data_stream_header stream_part.AnimationDataStreamHeader",
        "2 animation_data stream_part.AnimationData", "3 status stream_part.Status",
    ),
    "animation_data.v1.AnimationData": (
        "1 skel_animation ?SkelAnimation", "2 audio ?AudioWithTimeCode", "3 camera ?Camera", "4 metadata {string Any}",
    ),
    "animation_data.v1.AudioWithTimeCode": ("1 time_code double", "2 audio_buffer bytes"),
    "animation_data.v1.SkelAnimationHeader": ("1 blend_shapes *string", "2 joints *string"),
    "animation_data.v1.SkelAnimation": (
        "1 blend_shape_weights *FloatArrayWithTimeCode", "2 translations *Float3ArrayWithTimeCode",
        "3 rotations *QuatFArrayWithTimeCode", "4 scales *Float3ArrayWithTimeCode",
    ),
    "animation_data.v1.Camera": (
        "1 position *Float3WithTimeCode", "2 rotation *QuatFWithTimeCode", "3 focal_length *FloatWithTimeCode",
        "4 focus_distance *FloatWithTimeCode",
    ),
    "animation_data.v1.FloatArrayWithTimeCode": ("1 time_code double", "2 values *float"),
    "animation_data.v1.Float3ArrayWithTimeCode": ("1 time_code double", "2 values *Float3"),
    "animation_data.v1.QuatFArrayWithTimeCode": ("1 time_code double", "2 values *QuatF"),
    "animation_data.v1.Float3WithTimeCode": ("1 time_code double", "2 value Float3"),
    "animation_data.v1.QuatFWithTimeCode": ("1 time_code double", "2 value QuatF"),
    "animation_data.v1.FloatWithTimeCode": ("1 time_code double", "2 value float"),
    "animation_data.v1.QuatF": ("1 real float", "2 i float", "3 j float", "4 k float"),
    "animation_data.v1.Float3": ("1 x float", "2 y float", "3 z float"),
    "controller.v1.AudioStream": (
        "1 audio_stream_header stream_part.AudioStreamHeader", "2 audio_with_emotion stream_part.AudioWithEmotion",
        "3 end_of_audio stream_part.EndOfAudio",
    ),
    "controller.v1.AudioStream.EndOfAudio": (),
    "controller.v1.AudioStreamHeader": (
        "1 audio_header AudioHeader", "2 face_params FaceParameters",
        "3 emotion_post_processing_params EmotionPostProcessingParameters", "4 blendshape_params BlendShapeParameters",
        "5 emotion_params EmotionParameters",
    ),
    "controller.v1.Event": ("1 event_type enum", "2 metadata ?Any"),
    "controller.v1.AnimationDataStreamHeader": (
        "1 audio_header ?AudioHeader", "2 skel_animation_header ?SkelAnimationHeader",
        "3 start_time_code_since_epoch double",
    ),
    "controller.v1.AnimationDataStream": (
        "1 animation_data_stream_header stream_part.AnimationDataStreamHeader",
        "2 animation_data stream_part.AnimationData", "3 event stream_part.Event", "4 status stream_part.Status",
    ),
    "services.a2x_export_config.v1.ConfigsTypeRequest": ("1 config_type enum",),
    "services.a2x_export_config.v1.A2XConfig": ("1 name string", "2 content string"),
    "services.animation_controller.v1.AnimationGraphRequest": (
        "1 animation_ids AnimationIds", "2 animation_graph_variable_name string",
        "3 animation_graph_variable_value string",
    ),
    "services.animation_controller.v1.AnimationIdsOrStatus": (
        "1 animation_ids response.AnimationIds", "2 status response.Status",
    ),
    "a2f_authoring.v1.AudioClip": ("1 audio_header AudioHeader", "2 content bytes"),
    "a2f_authoring.v1.AudioClipHandle": ("1 audio_clip_id string", "2 blendshape_names *string"),
    "a2f_authoring.v1.FacePoseRequest": (
        "1 audio_hash string", "2 preferred_emotions {string float}", "3 time_stamp float",
        "4 face_params FaceParameters", "5 emotion_pp_params EmotionPostProcessingParameters",
        "6 blendshape_params BlendShapeParameters",
    ),
    "a2f_authoring.v1.BlendShapeData": ("1 blendshapes *float", "2 time_code float", "3 emotions {string float}"),
}  # fmt: skip

# The well-known packages of the message types that fields refer to, so that a reference to the wrong twin is seen.
TWINS = {
    "nvidia_ace.controller.v1.AudioStream.audio_stream_header": "nvidia_ace.controller.v1.AudioStreamHeader",
    "nvidia_ace.controller.v1.AudioStream.audio_with_emotion": "nvidia_ace.a2f.v1.AudioWithEmotion",
    "nvidia_ace.a2f.v1.AudioStream.audio_stream_header": "nvidia_ace.a2f.v1.AudioStreamHeader",
    "nvidia_ace.controller.v1.AnimationDataStream.animation_data_stream_header": (
        "nvidia_ace.controller.v1.AnimationDataStreamHeader"
    ),
    "nvidia_ace.controller.v1.AnimationDataStream.animation_data": "nvidia_ace.animation_data.v1.AnimationData",
    "nvidia_ace.animation_data.v1.AnimationDataStream.animation_data_stream_header": (
        "nvidia_ace.animation_data.v1.AnimationDataStreamHeader"
    ),
    "nvidia_ace.controller.v1.AnimationDataStream.status": "nvidia_ace.status.v1.Status",
    "nvidia_ace.animation_data.v1.AnimationDataStream.status": "nvidia_ace.status.v1.Status",
}

SERVICES = {
    "services.a2f_controller.v1.A2FControllerService": (
        "ProcessAudioStream stream controller.v1.AudioStream -> stream controller.v1.AnimationDataStream",
    ),
    "services.a2x_export_config.v1.A2XExportConfigService": (
        "GetConfigs services.a2x_export_config.v1.ConfigsTypeRequest -> stream services.a2x_export_config.v1.A2XConfig",
    ),
    "services.a2f.v1.A2FService": ("PushAudioStream stream a2f.v1.AudioStream -> status.v1.Status",),
    "services.animation_data.v1.AnimationDataService": (
        "PushAnimationDataStream stream animation_data.v1.AnimationDataStream -> status.v1.Status",
        "PullAnimationDataStream animation_id.v1.AnimationIds -> stream animation_data.v1.AnimationDataStream",
    ),
    "services.animation_controller.v1.AnimationControllerService": (
        "RequestAnimationIds google.protobuf.Empty -> services.animation_controller.v1.AnimationIdsOrStatus",
        "PullAnimationDataStream animation_id.v1.AnimationIds -> stream animation_data.v1.AnimationDataStream",
        "PushAudioStream stream a2f.v1.AudioStream -> status.v1.Status",
        "UpdateAnimationGraphVariable stream services.animation_controller.v1.AnimationGraphRequest -> "
        "status.v1.Status",
    ),
    "services.a2f_authoring.v1.A2FAuthoringService": (
        "UploadAudioClip a2f_authoring.v1.AudioClip -> a2f_authoring.v1.AudioClipHandle",
        "GetAvatarFacePose a2f_authoring.v1.FacePoseRequest -> a2f_authoring.v1.BlendShapeData",
    ),
}


@pytest.mark.parametrize("name", SCHEMA)
def test_message_has_the_published_fields(name: str) -> None:
    found = Default().FindMessageTypeByName(f"nvidia_ace.{name}")
    assert tuple(_described(field) for field in found.fields) == SCHEMA[name]


def test_every_message_of_ours_is_in_the_published_schema() -> None:
    ours = {
        message.full_name.removeprefix("nvidia_ace.")
        for proto in sorted((ROOT / "proto").glob("*.proto"))
        for top in Default().FindFileByName(f"facewave/wire/_proto/{proto.name}").message_types_by_name.values()
        for message in _with_nested(top)
    }
    assert ours == set(SCHEMA)


@pytest.mark.parametrize("field", TWINS)
def test_field_refers_to_the_right_one_of_two_similar_messages(field: str) -> None:
    message, name = field.rsplit(".", 1)
    found = Default().FindMessageTypeByName(message).fields_by_name[name].message_type
    assert found is not None
    assert found.full_name == TWINS[field]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("audio.v1.AudioHeader.AudioFormat", {"AUDIO_FORMAT_PCM": 0}),
        ("status.v1.Status.Code", {"SUCCESS": 0, "INFO": 1, "WARNING": 2, "ERROR": 3}),
        ("controller.v1.EventType", {"END_OF_A2F_AUDIO_PROCESSING": 0}),
        ("services.a2x_export_config.v1.ConfigsTypeRequest.ConfigType", {"YAML": 0, "JSON": 1}),
    ],
)
def test_enum_has_the_published_values(name: str, values: dict[str, int]) -> None:
    found = Default().FindEnumTypeByName(f"nvidia_ace.{name}")
    assert {value.name: value.number for value in found.values} == values


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_the_published_methods(name: str) -> None:
    found = Default().FindServiceByName(f"nvidia_ace.{name}")
    assert _methods(found) == SERVICES[name]


def _methods(service: ServiceDescriptor) -> tuple[str, ...]:
    lines = []
    for method in service.methods:
        source = "stream " * method.client_streaming + method.input_type.full_name.removeprefix("nvidia_ace.")
        result = "stream " * method.server_streaming + method.output_type.full_name.removeprefix("nvidia_ace.")
        lines.append(f"{method.name} {source} -> {result}")
    return tuple(lines)


def _with_nested(message: Descriptor) -> list[Descriptor]:
    # Maps are nested messages to the compiler only.
    nested = [inner for inner in message.nested_types if not inner.GetOptions().map_entry]
    return [message, *(deeper for inner in nested for deeper in _with_nested(inner))]


def _described(field: FieldDescriptor) -> str:
    return f"{field.number} {field.name} {_type(field)}"


def _type(field: FieldDescriptor) -> str:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return f"{{{_type(message.fields_by_name['key'])} {_type(message.fields_by_name['value'])}}}"
    plain = message.name if message is not None else _SCALARS[field.type]
    if field.is_repeated:
        return f"*{plain}"
    oneof = field.containing_oneof
    if oneof is None:
        return plain
    # `optional` is a oneof of one, which the compiler names after the field.
    return f"?{plain}" if oneof.name == f"_{field.name}" else f"{oneof.name}.{plain}"


_SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_ENUM: "enum",
}
