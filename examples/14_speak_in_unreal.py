"""Your voice on a face in Unreal: the microphone, or a file, to Live Link.

python examples/14_speak_in_unreal.py                          # microphone, Unreal on this machine
python examples/14_speak_in_unreal.py 192.168.1.20             # Unreal on another one
python examples/14_speak_in_unreal.py 127.0.0.1 speech.wav

In Unreal: enable the plugins Live Link and Apple ARKit Face Support, and choose the subject `facewave` where a face
asks for its ARKit source, as for the Live Link Face app. Ctrl-C ends, and the face goes to rest. The microphone needs
`pip install 'facewave[mic]'`. The command line does the same: `facewave live --mic --to livelink://192.168.1.20:11111`.
"""

from __future__ import annotations

import sys

from facewave import AudioCurveSource, LiveOutputs, Runtime

arguments = dict(enumerate(sys.argv[1:]))
unreal = f"livelink://{arguments.get(0, '127.0.0.1:11111')}?subject=facewave"
path = arguments.get(1)

with (
    Runtime() as runtime,
    AudioCurveSource(device="null" if path is None else "auto") as character,
    LiveOutputs(character, [unreal], fps=60) as targets,
):
    print("sending to", *targets.names)
    try:
        if path is None:
            from facewave.audio.microphone import Microphone

            runtime.override_burst_mode("burst")  # A voice comes at its own pace.
            with Microphone() as microphone:
                for block in microphone:
                    runtime.animate_samples(character, block.samples, 1, microphone.sample_rate)
        else:
            runtime.animate_file(character, path)
            character.wait()
    except KeyboardInterrupt:
        character.stop()
print(targets.sent[0], "frames sent")
