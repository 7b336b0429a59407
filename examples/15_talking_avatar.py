"""A talking avatar in a web page: starts the server, then says which page to open.

    python examples/15_talking_avatar.py [PORT]

The page drives a three.js model of yours (any GLB with ARKit morph targets) from the microphone; its source,
`example.html` of the studio, is what to copy into a page of your own, with `facewave_client.js` beside it. Ctrl-C ends
it.
Needs `pip install 'facewave[studio]'`.
"""

from __future__ import annotations

import subprocess
import sys

port = sys.argv[1] if len(sys.argv) > 1 else "8765"

print(f"open http://127.0.0.1:{port}/static/example.html", flush=True)
try:
    subprocess.run([sys.executable, "-m", "facewave", "studio", "--port", port], check=False)
except KeyboardInterrupt:
    print("ended")
