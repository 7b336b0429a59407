"""A film of the head with its sound: the page of the HTML output, drawn frame by frame in a browser without a window.

Needs a Chromium with the extra `video`, and the program ffmpeg. Every frame of the animation is one picture of the
film, drawn at its own weights and not at the time a clock happens to show.
"""

from __future__ import annotations

import asyncio
import base64
import io
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import IO, Any

from ..errors import OutputError
from ..frames import Animation
from . import html

SIZE = 720
"""Width and height in pixels."""

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
"""Programs that draw; without one of them on the path, the browser that playwright has installed."""

_BATCH = 2
"""Pictures drawn between two looks at the progress."""

_PATIENCE_MS = 300_000

_FLAGS = (
    "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",  # A graphics card where there is one, software where not.
    "--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars", "--force-color-profile=srgb",
)  # fmt: skip

_PREPARE = """size => {
  document.documentElement.dataset.theme = "light";
  const { viewer } = facewave;
  const stage = viewer.canvas.parentElement;
  Object.assign(stage.style, { position: "fixed", inset: "0 auto auto 0", width: `${size}px`, height: `${size}px` });
  viewer.resize();
  // From here on nobody else draws: the page's own loop would show each picture's place on the clock once more.
  const [apply, render] = [viewer.apply.bind(viewer), viewer.render.bind(viewer)];
  viewer.apply = viewer.render = viewer.resize = () => false;
  const film = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const pen = film.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  const middle = [size * 0.5, size * 0.42];
  const ground = pen.createRadialGradient(...middle, 0, ...middle, Math.hypot(size * 0.5, size * 0.58));
  const [inner, outer] = ["--stage-in", "--stage-out"].map((name) => {
    // light-dark() is resolved by asking for the colour of something drawn in it.
    stage.style.color = `var(${name})`;
    return getComputedStyle(stage).color;
  });
  ground.addColorStop(0, inner);
  ground.addColorStop(1, outer);
  globalThis.facewaveFilm = (index) => {
    const { take } = facewave;
    const width = take.channels.length;
    apply(take.frames.subarray(index * width, (index + 1) * width));
    render();
    pen.fillStyle = ground;
    pen.fillRect(0, 0, size, size);
    pen.drawImage(viewer.canvas, 0, 0, size, size);
    return film.toDataURL("image/jpeg", 0.95).split(",")[1];
  };
}"""

_DRAW = "([first, count]) => Array.from({ length: count }, (_, i) => facewaveFilm(first + i))"


def write(animation: Animation, file: IO[bytes], progress: Callable[[float], None] | None = None) -> None:
    """Draw every frame and join them with the sound.

    Args:
        animation: At least one frame; the film has its frame rate.
        file: Where the MP4 goes.
        progress: Called with the share of frames drawn, 0..1.

    Raises:
        OutputError: No frames, the sound's file is not to be found, no browser, no ffmpeg, or one of them failed.
    """
    if not len(animation):
        raise OutputError("video: the animation has no frames, expected at least one")
    audio = animation.info.audio
    if audio is not None and not audio.is_file():
        raise OutputError(f"video: the sound {audio} was not found; put it there, or animate the speech again")
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise OutputError("video: needs the program ffmpeg on the path: install it (apt, brew, winget: ffmpeg)")
    if _in_event_loop():
        # As in a notebook: the browser's driver runs a loop of its own and refuses to nest.
        with ThreadPoolExecutor(1, thread_name_prefix="facewave-film") as aside:
            aside.submit(_film, animation, file, ffmpeg, progress).result()
    else:
        _film(animation, file, ffmpeg, progress)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _film(animation: Animation, file: IO[bytes], ffmpeg: str, progress: Callable[[float], None] | None) -> None:
    with tempfile.TemporaryDirectory(prefix="facewave-") as folder:
        film = Path(folder) / "film.mp4"
        with _pictures(animation, Path(folder)) as drawn, _encoder(ffmpeg, animation, film) as pictures:
            for count, picture in enumerate(drawn, 1):
                pictures(picture)
                if progress is not None:
                    progress(count / len(animation))
        with film.open("rb") as made:
            shutil.copyfileobj(made, file)


@contextmanager
def _pictures(animation: Animation, folder: Path) -> Iterator[Iterator[bytes]]:
    """JPEG pictures of all frames, drawn as they are asked for."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ModuleNotFoundError as error:
        raise OutputError(
            "video: needs the package playwright: install it with  pip install 'facewave[video]'"
        ) from error
    page_file = folder / "page.html"
    silent = replace(animation, info=replace(animation.info, audio=None))
    page = io.BytesIO()
    html.write(silent, page)
    page_file.write_bytes(page.getvalue())
    browser: Any = None
    with _interrupts() as interrupted, sync_playwright() as driver:
        try:
            try:
                browser = driver.chromium.launch(
                    executable_path=next(filter(None, map(shutil.which, CHROMIUM)), None),
                    args=[*_FLAGS, *(["--no-sandbox"] if _is_root() else [])],
                    timeout=_PATIENCE_MS,
                    handle_sigint=False,
                )
            except Error as error:
                interrupted()
                raise OutputError(
                    "video: no Chromium could be started; install one (apt install chromium, or playwright install "
                    f"chromium): {str(error).splitlines()[0]}"
                ) from error
            try:
                yield _drawn(browser, page_file, len(animation))
            except Error as error:
                interrupted()
                raise OutputError(f"video: the browser failed ({str(error).splitlines()[0]})") from error
        finally:
            if browser is not None:
                with suppress(Error):  # Ctrl-C reaches the browser's driver too: it may be gone already.
                    browser.close()


@contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """Gives a check that raises KeyboardInterrupt if Ctrl-C came meanwhile.

    Ctrl-C reaches the browser's driver too, whose end may be noticed before, or instead of, the exception.
    """
    came = False
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        if callable(before):
            before(number, frame)

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # Only there do signals arrive.
        yield check
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _drawn(browser: Any, page_file: Path, frames: int) -> Iterator[bytes]:
    page = browser.new_page(viewport={"width": SIZE, "height": SIZE}, color_scheme="light")
    page.set_default_timeout(_PATIENCE_MS)
    page.goto(page_file.as_uri() + "?quality=full")
    page.wait_for_function(
        "document.documentElement.dataset.ready || document.getElementById('note').textContent.includes('cannot')"
    )
    if not page.evaluate("document.documentElement.dataset.ready"):
        raise OutputError(f"video: {page.inner_text('#note')}")
    page.evaluate(_PREPARE, SIZE)
    for first in range(0, frames, _BATCH):
        for picture in page.evaluate(_DRAW, [first, min(_BATCH, frames - first)]):
            yield base64.b64decode(picture)


@contextmanager
def _encoder(ffmpeg: str, animation: Animation, film: Path) -> Iterator[Callable[[bytes], None]]:
    """Takes pictures; on leaving without an error the film is complete."""
    rate = animation.frame_rate
    sound = [] if animation.info.audio is None else ["-i", str(animation.info.audio), "-c:a", "aac", "-b:a", "160k"]
    command = [
        ffmpeg, "-v", "error", "-y", "-f", "image2pipe", "-c:v", "mjpeg", "-framerate", str(rate), "-i", "pipe:0",
        *sound, "-map", "0:v", *(["-map", "1:a:0"] if sound else []), *_codec(ffmpeg),
        "-vf", "scale=in_color_matrix=bt601:out_color_matrix=bt709:out_range=tv,format=yuv420p",
        "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
        "-t", f"{animation.duration_s:.6f}", "-movflags", "+faststart", "-f", "mp4", str(film),
    ]  # fmt: skip
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said) as process,
    ):
        assert process.stdin is not None
        pipe = process.stdin
        try:
            yield lambda picture: None if process.poll() is not None else _put(pipe, picture)
            _close(pipe)
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        if code:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise OutputError(f"video: ffmpeg failed ({lines[-1] if lines else f'exit code {code}'})")


def _put(pipe: IO[bytes], picture: bytes) -> None:
    try:
        pipe.write(picture)
    except BrokenPipeError:
        return  # ffmpeg says why it went when it is asked at the end.


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return


def _codec(ffmpeg: str) -> list[str]:
    """H.264 where this ffmpeg can make it without special hardware, else MPEG-4."""
    listed = subprocess.run([ffmpeg, "-v", "error", "-encoders"], capture_output=True, text=True, check=False).stdout
    if " libx264 " in listed:
        return ["-c:v", "libx264", "-crf", "18", "-preset", "medium"]
    if " libopenh264 " in listed:
        return ["-c:v", "libopenh264", "-b:v", "4M"]
    return ["-c:v", "mpeg4", "-q:v", "3"]


def _is_root() -> bool:
    # Chromium refuses its sandbox to root, as in most containers.
    return hasattr(os, "geteuid") and os.geteuid() == 0
