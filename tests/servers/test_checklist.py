"""The compatibility checklist on the server's side: every kind of published client, by its habits, over real sockets.

Rows 8 to 10 (refusals, disconnection, slow clients) are in test_limits.py, rows 12 and 13 in test_legacy_server.py and
test_authoring.py.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import grpc
import numpy as np
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facewave.blendshapes import ARKIT, CHANNELS, pascal
from facewave.emotions import EMOTIONS
from facewave.server.server import ServeOptions
from facewave.wire import animation
from facewave.wire._proto import a2f_controller_service_pb2_grpc as controller_grpc
from facewave.wire._proto import a2x_export_config_service_pb2_grpc as export_grpc
from facewave.wire._proto.a2f_pb2 import EmotionPostProcessingParameters, FaceParameters
from facewave.wire._proto.a2x_export_config_service_pb2 import ConfigsTypeRequest
from facewave.wire._proto.controller_pb2 import AudioStream
from facewave.wire._proto.emotion_with_timecode_pb2 import EmotionWithTimeCode
from tests.servers.loudness import BatchLoudnessProvider, LoudnessProvider
from tests.servers.serving import (
    Answer,
    RunningServer,
    audio,
    call,
    chunks,
    clip,
    config,
    end,
    header,
    serving,
    speech,
    wait_until,
)

PROVIDERS: dict[str, Callable[[], LoudnessProvider]] = {
    "pushed": lambda: LoudnessProvider(),
    "batched": lambda: BatchLoudnessProvider(),
    "only 60 fps": lambda: LoudnessProvider(rates=(60, 60)),
    "only 25 fps": lambda: LoudnessProvider(rates=(25, 25), default=25),
}


@pytest.fixture(scope="module", params=PROVIDERS)
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with serving(PROVIDERS[request.param]()) as running:
        yield running


def check_whole_clip(answer: Answer, pcm: bytes, rate: int, fps: int = 30) -> None:
    """What every complete clip must look like, whoever asked for it."""
    assert (answer.code, answer.details) == (grpc.StatusCode.OK, "")
    n_samples = len(pcm) // 2
    n_frames = math.ceil(Fraction(n_samples * fps, rate))
    assert answer.parts == [
        "animation_data_stream_header", *["animation_data"] * n_frames, "event", "status",
    ]  # fmt: skip
    assert answer.header is not None
    sound = answer.header.audio_header
    assert (sound.audio_format, sound.channel_count, sound.samples_per_second, sound.bits_per_sample) == (
        0, 1, rate, 16,
    )  # fmt: skip
    assert abs(answer.header.start_time_code_since_epoch - time.time()) < 600
    assert answer.times == [index / fps for index in range(n_frames)]
    assert answer.statuses[0].code == 0
    assert answer.statuses[0].message
    assert answer.echo[: len(pcm)] == pcm
    assert not any(answer.echo[len(pcm) :])
    assert len(answer.echo) == 2 * animation.echo_start(n_frames, rate, Fraction(fps))


# Row 1 and 2: the sample client, whose loop runs len // rate + 1 times and so may end with an empty buffer.


def sample_client(pcm: bytes, rate: int) -> Iterator[AudioStream]:
    yield header(rate)
    for index in range(len(pcm) // 2 // rate + 1):
        piece = pcm[2 * rate * index : 2 * rate * (index + 1)]
        emotions = [EmotionWithTimeCode(time_code=0.0, emotion={"joy": 1.0})] if index == 0 else []
        yield audio(piece, emotions)
    yield end()
    # It never closes its side: the server ends the call. The generator stays open until then.
    time.sleep(0.5)


@pytest.mark.parametrize("rate", [16_000, 44_100, 22_050])
@pytest.mark.parametrize("seconds", [60_371 / 16_000, 2.0, 0.01])
def test_sample_client(server: RunningServer, rate: int, seconds: float) -> None:
    with grpc.insecure_channel(server.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
    pcm = speech(seconds, rate)
    answer = call(server.target, sample_client(pcm, rate))
    check_whole_clip(answer, pcm, rate)
    assert answer.names == [pascal(name) for name in ARKIT]
    for frame in answer.frames:
        assert len(frame.skel_animation.blend_shape_weights) == 1
        aggregate = animation.EmotionAggregate()
        assert frame.metadata["emotion_aggregate"].Unpack(aggregate)
        assert len(aggregate.a2e_output) == 0
        assert [set(entry.emotion) for entry in aggregate.a2f_smoothed_output] == [set(EMOTIONS)]
    assert animation.emotions_in(answer.frames[0]) == pytest.approx(
        [0.3 if name == "joy" else 0.0 for name in EMOTIONS]
    )


def test_silence_gives_frames(server: RunningServer) -> None:
    pcm = bytes(32_000)
    answer = call(server.target, clip(pcm))
    check_whole_clip(answer, pcm, 16_000)
    assert not answer.column("JawOpen").any()


def test_no_audio_gives_no_frames_and_success(server: RunningServer) -> None:
    answer = call(server.target, [header(), audio(b""), end()])
    check_whole_clip(answer, b"", 16_000)


def test_chunk_size_changes_nothing(server: RunningServer) -> None:
    pcm = speech(1.7)
    whole = call(server.target, clip(pcm, chunk_s=9.0))
    cuts = [[*chunks(pcm[:4000], 2), pcm[4000:]], list(chunks(pcm, 3200)), list(chunks(pcm, 1120))]
    for cut in cuts:
        answer = call(server.target, [header(), *map(audio, cut), end()])
        np.testing.assert_allclose(answer.weights, whole.weights, atol=1e-6)
        assert answer.echo == whole.echo


def test_half_close_without_end_of_audio_ends_the_clip(server: RunningServer) -> None:
    pcm = speech(1.0)
    answer = call(server.target, [header(), audio(pcm)])
    check_whole_clip(answer, pcm, 16_000)


def test_first_frames_leave_before_the_clip_ends() -> None:
    first = threading.Event()

    def requests() -> Iterator[AudioStream]:
        yield header()
        yield audio(speech(0.5))
        assert first.wait(10), "no frame came before the end of the clip"
        yield end()

    with serving(BatchLoudnessProvider()) as server, grpc.insecure_channel(server.target) as channel:
        for message in controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(requests()):
            if message.WhichOneof("stream_part") == "animation_data":
                first.set()
    assert first.is_set()


def test_header_answers_the_header_before_any_audio() -> None:
    answered = threading.Event()

    def requests() -> Iterator[AudioStream]:
        yield header()
        assert answered.wait(10), "the header was not answered"
        yield end()

    with serving(LoudnessProvider()) as server, grpc.insecure_channel(server.target) as channel:
        for message in controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(requests()):
            if message.WhichOneof("stream_part") == "animation_data_stream_header":
                answered.set()
    assert answered.is_set()


# Row 4: as many clients as there are places, and one more.


def test_one_client_more_than_places_is_refused_and_the_others_are_served() -> None:
    with serving(BatchLoudnessProvider(), config({}, {"common.stream_number": 4})) as server:
        release = threading.Event()
        answers: list[Answer] = []

        def held() -> Iterator[AudioStream]:
            yield header()
            yield audio(speech(0.5))
            release.wait(20)
            yield end()

        threads = [threading.Thread(target=lambda: answers.append(call(server.target, held()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: server.streams_in_use == 4)
        late = call(server.target, clip(speech(0.5)))
        assert late.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "stream_number" in late.details
        release.set()
        for thread in threads:
            thread.join()
        assert [answer.code for answer in answers] == [grpc.StatusCode.OK] * 4
        assert call(server.target, clip(speech(0.5))).code is grpc.StatusCode.OK


def test_clients_that_call_again_at_once_find_their_place_free() -> None:
    with serving(BatchLoudnessProvider(), config({}, {"common.stream_number": 3})) as server:
        codes: list[grpc.StatusCode | None] = []

        def repeat() -> None:
            with grpc.insecure_channel(server.target) as channel:
                codes.extend(call(server.target, clip(speech(0.3)), channel=channel).code for _ in range(15))

        threads = [threading.Thread(target=repeat) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == [grpc.StatusCode.OK] * 45


# Row 5: the configuration sample.


@pytest.mark.parametrize("kind", ["YAML", "JSON"])
def test_configuration_comes_as_three_files_that_can_be_fed_back(kind: str, tmp_path: Any) -> None:
    from facewave.server.config import load_config

    server_config = config({"input_sanitization.low_fps": 12}, {"common.stream_number": 7})
    with serving(LoudnessProvider(), server_config) as server, grpc.insecure_channel(server.target) as channel:
        stub = export_grpc.A2XExportConfigServiceStub(channel)
        request = ConfigsTypeRequest(config_type=kind)
        files = {file.name: file.content for file in stub.GetConfigs(request)}
    extension = kind.lower()
    assert list(files) == [f"{name}_config.{extension}" for name in ("stylization", "deployment", "advanced")]
    paths = []
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        paths.append(tmp_path / name)
    # JSON is YAML, so both forms can be fed back.
    again = load_config(*paths)
    assert again.files == server_config.files
    assert (again.streams, again.limits.low_fps) == (7, 12)
    assert again.notes == ()
    assert yaml.safe_load(files[f"deployment_config.{extension}"])["common"]["stream_number"] == 7


# Row 6: Maya writes everything, closes its side, and only then reads.


@pytest.mark.parametrize("seconds", [3.0, 300.0])
def test_client_that_writes_everything_before_it_reads(seconds: float) -> None:
    pcm = speech(seconds)
    written = threading.Event()

    def requests() -> Iterator[AudioStream]:
        yield header()
        for piece in chunks(pcm, 32_000):
            yield audio(piece, [EmotionWithTimeCode(time_code=0.0, emotion={"out_of_breath": 1.0, "joy": 0.5})])
        yield end()
        written.set()

    with serving(BatchLoudnessProvider()) as server, grpc.insecure_channel(server.target) as channel:
        responses = controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(requests(), timeout=120)
        assert written.wait(60), "the server stopped reading while nobody read its answer"
        answer = Answer()
        for message in responses:
            answer.take(message)
        answer.code = responses.code()
    assert answer.parts[0] == "animation_data_stream_header"
    check_whole_clip(answer, pcm, 16_000)


# Row 7: the Unreal plugin in real-time mode; it knows nothing but indices and echoed bytes.


def test_real_time_client_places_frames_by_echoed_audio() -> None:
    pcm = speech(2.2)

    def requests() -> Iterator[AudioStream]:
        yield header()
        sent = 16_000
        override = [EmotionWithTimeCode(time_code=0.0, emotion={"anger": 0.5})]
        yield audio(pcm[:sent], override)
        while sent < len(pcm):
            time.sleep(1 / 30)
            override = [EmotionWithTimeCode(time_code=sent / 2 / 16_000, emotion={"anger": 0.5})]
            yield audio(pcm[sent : sent + 1120], override)
            sent += 1120
        yield end()

    with serving(BatchLoudnessProvider()) as server:
        answer = call(server.target, requests())
    check_whole_clip(answer, pcm, 16_000)
    heard = 0
    for frame in answer.frames:
        # The plugin's stamp of a frame is the sound received before it.
        assert heard / 32_000 == pytest.approx(frame.skel_animation.blend_shape_weights[0].time_code, abs=1 / 16_000)
        assert len(frame.audio.audio_buffer) in (2 * 533, 2 * 534)
        assert len(frame.skel_animation.blend_shape_weights[0].values) == 52
        assert frame.audio.time_code == frame.skel_animation.blend_shape_weights[0].time_code
        heard += len(frame.audio.audio_buffer)


# Row 11: presence.


def test_explicit_zero_strength_differs_from_unset() -> None:
    joy = [EmotionWithTimeCode(time_code=0.0, emotion={"joy": 1.0})]
    with serving(LoudnessProvider()) as server:
        answers = [
            call(server.target, [header(emotion_post_processing_params=post), audio(speech(0.2), joy), end()])
            for post in (EmotionPostProcessingParameters(), EmotionPostProcessingParameters(emotion_strength=0.0))
        ]
    unset, zero = (animation.emotions_in(answer.frames[0]) for answer in answers)
    assert unset is not None
    assert zero is not None
    assert unset[EMOTIONS.index("joy")] == pytest.approx(0.3)
    assert not zero.any()


def test_header_parameters_reach_the_session() -> None:
    provider = LoudnessProvider()
    stylization = {
        "a2f.face_params": {"lower_face_strength": 1.25, "eyelid_offset": 0.06},
        "a2f.blendshape_params.weight_multipliers": {"JawOpen": 0.5, "MouthClose": 2.0},
    }
    with serving(provider, config(stylization=stylization)) as server:
        face = FaceParameters(float_params={"lowerFaceStrength": 1.5, "unheardOf": 3.0})
        assert call(server.target, clip(speech(0.1), face_params=face)).code is grpc.StatusCode.OK
    (settings,) = provider.opened
    assert settings.face_parameters == {"lowerFaceStrength": 1.5, "eyelidOpenOffset": 0.06}
    assert settings.multipliers == {"jawOpen": 0.5, "mouthClose": 2.0}
    assert settings.frame_rate == 30


# Options.


def test_68_shapes_60_frames_and_detected_emotion_by_option() -> None:
    options = ServeOptions(fps=Fraction(60), combined_emotion=True, http_address=None)
    with serving(BatchLoudnessProvider(), config(stylization={"enable_tongue_blendshapes": True}), options) as server:
        pcm = speech(0.55)
        answer = call(server.target, clip(pcm))
    check_whole_clip(answer, pcm, 16_000, fps=60)
    assert answer.names == [pascal(name) for name in CHANNELS]
    assert (answer.column("TongueTipUp") == 0.25).all()
    aggregate = animation.EmotionAggregate()
    assert answer.frames[0].metadata["emotion_aggregate"].Unpack(aggregate)
    assert len(aggregate.a2e_output) == 1


def test_silence_padding_closes_the_clip() -> None:
    padding = {"common.add_silence_padding_after_audio": True, "common.silence_padding_duration_second": 0.5}
    joy = [EmotionWithTimeCode(time_code=0.0, emotion={"joy": 1.0})]
    with serving(LoudnessProvider(), config({}, padding)) as server:
        pcm = speech(1.0)
        answer = call(server.target, [header(), audio(pcm, joy), end()])
    check_whole_clip(answer, pcm + bytes(16_000), 16_000)
    last = animation.emotions_in(answer.frames[-1])
    assert last is not None
    assert not last.any()


def test_inactive_poses_stay_at_zero() -> None:
    off = {"a2f.blendshape_params.active_poses": {"JawOpen": 0, "MouthClose": 1}}
    with serving(LoudnessProvider(), config(stylization=off)) as server:
        answer = call(server.target, clip(speech(0.5)))
    assert not answer.column("JawOpen").any()


def test_paced_output_takes_as_long_as_the_clip() -> None:
    paced = {"pipeline_parameters.burst_mode": False, "pipeline_parameters.blendshape_streaming_fps": 60.0}
    with serving(LoudnessProvider(), config(paced)) as server:
        answer = call(server.target, clip(speech(1.0)))
    frames = [when for part, when in zip(answer.parts, answer.arrived, strict=True) if part == "animation_data"]
    # A schedule, not a speed: the server waits between frames, so it can only be later.
    assert frames[-1] - frames[0] >= 29 / 60 - 0.05


def test_streams_do_not_disturb_each_other() -> None:
    with serving(BatchLoudnessProvider()) as server:
        clips = [speech(1.0 + 0.1 * seed, seed=seed) for seed in range(8)]
        alone = [call(server.target, clip(pcm)).weights for pcm in clips]
        answers: dict[int, Answer] = {}

        def run(index: int) -> None:
            answers[index] = call(server.target, clip(clips[index], chunk_s=0.07))

        threads = [threading.Thread(target=run, args=(index,)) for index in range(len(clips))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for index, weights in enumerate(alone):
            np.testing.assert_array_equal(answers[index].weights, weights)
            assert answers[index].echo[: len(clips[index])] == clips[index]


def test_due_streams_are_advanced_as_one_batch() -> None:
    provider = BatchLoudnessProvider()
    gate = threading.Barrier(6)

    def requests(seed: int) -> Iterator[AudioStream]:
        yield header()
        gate.wait(10)
        yield from list(clip(speech(5.0, seed=seed), chunk_s=0.1))[1:]

    with serving(provider) as server:
        threads = [threading.Thread(target=lambda seed=seed: call(server.target, requests(seed))) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert max(provider.batches) > 1
