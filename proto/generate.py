"""Write the Python modules of every .proto file beside this script: `python proto/generate.py [TARGET_ROOT]`.

TARGET_ROOT is the folder that holds the package `facewave`; the default is this repository's `src`.
"""

from __future__ import annotations

import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

SOURCES = Path(__file__).parent
PACKAGE = "facewave/wire/_proto"
"""Where the modules are imported from, which protoc also wants as the files' virtual folder."""


def generate(root: Path) -> list[Path]:
    """Write the modules, their type stubs and the gRPC stubs below `root`; return their paths.

    Raises:
        SystemExit: The protocol compiler refused a file; its message has been printed.
    """
    from grpc_tools import protoc

    protos = sorted(SOURCES.glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        code = protoc.main(
            [
                "protoc",
                f"-I{PACKAGE}={SOURCES}",
                f"-I{files('grpc_tools') / '_proto'}",
                f"--python_out={scratch}",
                f"--pyi_out={scratch}",
                f"--grpc_python_out={scratch}",
                *(f"{PACKAGE}/{proto.name}" for proto in protos),
            ]
        )
        if code:
            raise SystemExit(code)
        target = root / PACKAGE
        target.mkdir(parents=True, exist_ok=True)
        written = []
        for made in sorted((Path(scratch) / PACKAGE).iterdir()):
            text = _without_version_checks(made.read_text())
            # The compiler writes gRPC stubs for files without services too; they would hold nothing.
            if made.name.endswith("_pb2_grpc.py") and "class " not in text:
                continue
            (target / made.name).write_text(text)
            written.append(target / made.name)
        return written


def _without_version_checks(text: str) -> str:
    """Drop the lines that refuse to run with libraries older than the compiler.

    The modules only hand a serialized descriptor to the runtime, which protobuf 5 and grpcio 1.63 can already do; the
    checks would force the newest protobuf on every program that imports facewave.
    """
    text = re.sub(r"^from google\.protobuf import runtime_version .*\n", "", text, flags=re.M)
    text = re.sub(r"^_runtime_version\.ValidateProtobufRuntimeVersion\(\n(?:    .*\n)*\)\n", "", text, flags=re.M)
    return re.sub(r"^GRPC_GENERATED_VERSION = (?s:.*?)^    \)\n", "", text, flags=re.M)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCES.parent / "src")
