"""`facewave live`: animate audio while it is being made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .targets import To, ToFps

if TYPE_CHECKING:
    from ..audio.live import LiveBlock
    from ..runtime.consumers import Consumer
    from ..runtime.latency import LatencyMeter
    from ..runtime.runtime import Runtime

_SHOW_EVERY_S = 0.5


def live(
    source: Annotated[
        str, typer.Argument(metavar="[-|FILE]", help="`-` for standard input, or a wav or raw PCM file that may grow.")
    ] = "",
    mic: Annotated[bool, typer.Option("--mic", help="Listen to the microphone (extra `mic`).")] = False,
    provider: Annotated[str, typer.Option("--provider", "-p", help="Who animates.")] = "",
    fps: Annotated[str | None, typer.Option(help="Frames per second. Default: the provider's.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="Also write the animation to this file.")
    ] = None,
    to: To = None,
    to_fps: ToFps = "60",
    play: Annotated[
        bool, typer.Option("--play", help="Play the audio in step with the face; otherwise playing is only timed.")
    ] = False,
    rate: Annotated[int, typer.Option(help="Hertz of raw PCM; wav tells its own.")] = 16_000,
    channels: Annotated[int, typer.Option(help="Channels of raw PCM, 1 or 2.")] = 1,
    sample_type: Annotated[str, typer.Option("--format", help="Samples of raw PCM: int16 or float32.")] = "int16",
    buffer_s: Annotated[float, typer.Option("--buffer", help="Seconds of audio collected before playing.")] = 0.1,
    seconds: Annotated[float | None, typer.Option(help="Stop after this much audio.")] = None,
) -> None:
    """Animate a microphone, a pipe or a growing file, and print how long frames take and how often audio ran out.

    With --to, frames also go to Unreal, VTuber apps, OSC, web pages or a pipe, in step with the sound; the rest pose
    comes last, also on Ctrl-C.

    The latency of a frame counts from the moment its sound was captured. From a pipe or a file that is the moment at
    which it was read.
    """
    from rich.console import Console

    from ..runtime.consumers import OutputConsumer
    from ..runtime.curve_source import AudioCurveSource
    from ..runtime.latency import LatencyMeter
    from ..runtime.runtime import Runtime
    from ..runtime.workers import Threads
    from ..streams import StreamSettings
    from ..timing import frame_rate
    from .targets import sending

    if mic == bool(source):
        raise typer.BadParameter("give either --mic, or `-` for standard input, or a file")
    if sample_type not in ("int16", "float32"):
        raise typer.BadParameter(f"found {sample_type!r}, expected int16 or float32", param_hint="--format")
    console = Console(stderr=True, highlight=False)
    workers = Threads()
    settings = StreamSettings(frame_rate=None if fps is None else frame_rate(fps))
    consumers: list[Consumer] = []
    if output is not None:
        from ..outputs import open_file_output

        consumers.append(OutputConsumer(open_file_output(output)))
    with (
        Runtime(workers=workers) as runtime,
        AudioCurveSource(buffer_s=buffer_s, device="speaker" if play else "null", workers=workers) as player,
        sending(player, to, to_fps, console, workers),
    ):
        # After the targets: a mistake in an address is told before anyone speaks.
        opened = _opened(source, mic=mic, rate=rate, channels=channels, sample_type=sample_type)
        runtime.override_burst_mode("burst")  # Live audio comes at its own pace.
        runtime.allocate(provider)
        meter = LatencyMeter(workers.now, player, *consumers)
        heard_s = 0.0
        delivery, stopped = None, False
        try:
            with console.status("waiting for audio ...") as status:
                shown_at = 0.0
                for block in _limited(opened, seconds):
                    meter.captured(len(block.samples), opened.sample_rate, block.captured_at)
                    delivery = runtime.animate_samples(
                        meter, block.samples, block.samples.shape[1], opened.sample_rate,
                        provider="" if delivery else provider, settings=settings,
                    )  # fmt: skip
                    heard_s += len(block.samples) / opened.sample_rate
                    if heard_s - shown_at >= _SHOW_EVERY_S:
                        shown_at = heard_s
                        status.update(_line(heard_s, meter, player))
        except KeyboardInterrupt:
            stopped = True
            console.print("stopped")
        finally:
            _close(opened)
        if delivery is not None:
            _finish(runtime, meter, player, stopped)
        _report(console, heard_s, meter, player, getattr(opened, "overruns", None))
        if output is not None and delivery is not None:
            console.print(f"wrote {output}", soft_wrap=True)


def _opened(source: str, *, mic: bool, rate: int, channels: int, sample_type: Any) -> Any:
    from ..audio.live import GrowingFile, PcmStream

    if mic:
        from ..audio.microphone import Microphone

        return Microphone()
    raw: Any = sys.stdin.buffer if source == "-" else GrowingFile(Path(source))
    name = "standard input" if source == "-" else source
    return PcmStream(raw, sample_rate=rate, channels=channels, sample_type=sample_type, name=name)


def _limited(blocks: Any, seconds: float | None) -> Iterator[LiveBlock]:
    left = None if seconds is None else round(seconds * blocks.sample_rate)
    for block in blocks:
        yield block
        if left is not None:
            left -= len(block.samples)
            if left <= 0:
                return


def _close(opened: Any) -> None:
    if hasattr(opened, "close"):
        opened.close()


def _finish(runtime: Runtime, meter: LatencyMeter, player: Any, stopped: bool) -> None:
    """Animate what was heard, and play it to its end unless the user wants silence now."""
    delivery = runtime.end_samples(meter)
    delivery.result()
    ending = delivery.ending()
    if ending.error is not None:
        raise ending.error
    if stopped:
        player.stop()
    player.wait()


def _line(heard_s: float, meter: LatencyMeter, player: Any) -> str:
    figures = meter.figures()
    latency = "no frame yet" if figures is None else f"latency {figures.median_ms:.0f} ms"
    jaw = player.pose().get("jawOpen", 0.0)
    return f"{heard_s:6.1f} s  jawOpen {jaw:4.2f}  {latency}  under-runs {player.underruns}"


def _report(console: Any, heard_s: float, meter: LatencyMeter, player: Any, overruns: int | None) -> None:
    from rich.table import Table

    figures = meter.figures()
    if figures is None:
        console.print("no audio came")
        return
    table = Table("what", "value", title="live")
    table.add_row("audio", f"{heard_s:.2f} s")
    table.add_row("frames", str(figures.frames))
    table.add_row(
        "latency, captured to frame",
        f"median {figures.median_ms:.1f} ms, 95 % {figures.p95_ms:.1f} ms, 99 % {figures.p99_ms:.1f} ms, "
        f"worst {figures.worst_ms:.1f} ms",
    )
    table.add_row(
        "under-runs of the player", f"{player.underruns} ({player.inserted_silence_s * 1000:.0f} ms of silence)"
    )
    if overruns is not None:
        table.add_row("overruns of the microphone", str(overruns))
    console.print(table)
