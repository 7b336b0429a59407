"""`facewave doctor`: what it finds, what it says to do, and what its bundle must not contain."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from facewave.cli import app
from facewave.doctor import report, selftest
from facewave.doctor.secrets import MASK, Scrubber, is_secret
from facewave.inference.onnx import DEVICES, runtime_devices
from facewave.providers import provider_names
from facewave.settings import FacewaveSettings, RemoteSettings
from tests.model_folders import regression_folder

ROOT = Path(__file__).resolve().parents[3]
RUN = CliRunner()


def doctor(*arguments: str, fails: bool = False) -> dict[str, Any]:
    result = RUN.invoke(app, ["doctor", "--json", *arguments])
    assert result.exit_code == int(fails), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def quick(*arguments: str, fails: bool = False) -> dict[str, Any]:
    return doctor("--quick", *arguments, fails=fails)


def test_self_test_animates_the_bundled_clip_alone_and_through_a_server() -> None:
    found = doctor()
    model, server = found["self_test"]
    assert (model["name"], model["ok"], model["why"]) == ("bundled model", True, "")
    assert model["found"]["frames"] == 533
    assert model["found"]["first_frame_after_audio_s"] < 0.3
    assert model["found"]["first_frame_s"] > 0
    assert model["found"]["real_time_factor"] > 0
    assert server["ok"] is (True if selftest.server_extra_is_here() else None)
    if server["ok"]:
        assert server["found"]["frames"] == 267
    assert found["ok"]
    assert found["problems"] == []


def test_report_names_every_device_provider_and_package() -> None:
    found = quick()
    assert [row["name"] for row in found["devices"]] == [device.name for device in DEVICES]
    assert found["devices"][0] == {"name": "cpu", "available": True, "why": "", "do": ""}
    for row, device in zip(found["devices"], DEVICES, strict=True):
        if device.execution_provider not in runtime_devices():
            assert not row["available"]
            assert device.execution_provider in row["why"]
            assert device.package in row["do"]
    assert [row["name"] for row in found["providers"]] == provider_names()
    available = {row["name"]: row for row in found["providers"]}
    assert available["Embedded"]["available"]
    assert "facewave models pull" in available["LocalA2F-Mark-AR"]["why"]
    assert "FACEWAVE_REMOTE_URL" in available["RemoteA2F"]["why"]
    assert found["packages"]["numpy"] == metadata.version("numpy")
    assert found["machine"]["cores_usable"] >= 1
    assert found["self_test"] == []


def test_people_get_the_same_with_brackets_and_all() -> None:
    result = RUN.invoke(app, ["doctor", "--quick"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "[remote]" in result.output
    assert "facewave works here." in result.output


def test_models_of_the_store_are_found_and_make_a_provider_usable(tmp_path: Path, monkeypatch: Any) -> None:
    folder = regression_folder(tmp_path / "models" / "mine")
    (tmp_path / "models" / "broken").mkdir()
    (tmp_path / "models" / "broken" / "model.json").write_text("{")
    monkeypatch.setenv("FACEWAVE_MODELS_PATH", str(tmp_path / "models"))
    monkeypatch.setenv("FACEWAVE_MODELS_FACE", str(folder))
    found = quick()
    rows = {row["name"]: row for row in found["models"]["models"]}
    assert rows["mine"]["kind"] == "regression"
    assert not rows["mine"]["broken"]
    assert rows["broken"]["broken"]
    available = {row["name"]: row["available"] for row in found["providers"]}
    assert available["LocalA2F-Mark-AR"]
    assert not available["LocalA2F-Mark"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"FACEWAVE_PROVIDER": "LocalA2F-Mark"}, "LocalA2F-Mark: no diffusion model"),
        ({"FACEWAVE_MODELS_THREADS": "many"}, "the settings cannot be read"),
        ({"FACEWAVE_CONFIG": "/nowhere/facewave.toml"}, "the settings cannot be read"),
    ],
)
def test_what_does_not_work_is_a_problem_and_exit_code_1(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = quick(fails=True)
    assert not found["ok"]
    assert any(words in row["what"] and row["do"] for row in found["problems"])


def test_chosen_device_that_is_not_here_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    if "DmlExecutionProvider" in runtime_devices():
        pytest.skip("this ONNX Runtime has DirectML")
    monkeypatch.setenv("FACEWAVE_MODELS_DEVICE", "directml")
    (row,) = quick(fails=True)["problems"]
    assert "models.device is directml" in row["what"]
    assert "onnxruntime-directml" in row["do"]


def test_self_test_that_fails_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "frames_in", lambda count, rate: 1)
    found = doctor(fails=True)
    assert found["self_test"][0]["ok"] is False
    assert "found 533 frames, expected 1" in found["problems"][0]["what"]


def test_service_that_is_configured_is_reached_for() -> None:
    with socket.socket() as taken:  # Bound, and nobody listens.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        settings = FacewaveSettings(remote=RemoteSettings(url=url))
        there = {row["name"]: row for row in report.providers(settings, reach=False)}
        assert there["RemoteA2F"]["available"]
        reached = {row["name"]: row for row in report.providers(settings, reach=True)}
    assert not reached["RemoteA2F"]["available"]
    assert "nothing listens at this address" in reached["RemoteA2F"]["why"]


def test_extras_are_those_of_the_project_with_the_command_that_adds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lines = [f"{line}; extra == '{extra}'" for extra, wanted in project.items() for line in wanted]
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=1.26", *lines, "no-such-package; extra == 'odd'"])
    found = report.extras()
    assert found.keys() == project.keys() - {"dev"} | {"odd"}
    assert found["odd"] == {"installed": False, "missing": ["no-such-package"], "do": "pip install 'facewave[odd]'"}


def test_two_runtimes_in_one_environment_are_a_problem() -> None:
    found = report.packages() | {"onnxruntime": "1.0", "onnxruntime-gpu": "1.0", "onnxruntime-directml": None}
    (row,) = report.package_problems(found)
    assert "overwrite each other" in row["what"]
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in row["do"]


SECRETS = {
    "FACEWAVE_REMOTE_API_KEY": "nvapi-planted-in-a-variable",
    "MY_SECRET": "planted behind a dollar sign",
    "HF_TOKEN": "hf_plantedplantedplanted",
    "SOME_PASSWORD": "planted-password",
}


def test_bundle_has_no_key_no_token_and_no_home(tmp_path: Path) -> None:
    home = tmp_path / "home" / "alice"
    store = home / ".local" / "share" / "facewave" / "models"
    regression_folder(store / "mine")
    (home / "facewave.toml").write_text(
        '[legacy]\nurl = "https://example.invalid:443"\napi_key = "$MY_SECRET"\n'
        f'[models]\npath = ["{store.as_posix()}"]\nface = "{(store / "missing").as_posix()}"\n'
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FACEWAVE_", "XDG_"))}
    environment |= SECRETS | {"HOME": str(home), "USERPROFILE": str(home), "USER": "alice", "LOGNAME": "alice"}
    environment["PYTHONPATH"] = str(ROOT / "src")
    done = subprocess.run(
        [sys.executable, "-m", "facewave", "doctor", "--quick", "--json", "--bundle", "report.zip"],
        cwd=home, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(home / "report.zip") as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(files) == {"doctor.json", "doctor.txt", "packages.txt"}
    for secret in SECRETS.values():
        assert secret not in done.stdout + done.stderr
    for name, content in files.items():
        for planted in [*SECRETS.values(), str(home), str(home).replace("\\", "\\\\"), "alice"]:
            assert planted not in content, f"{planted} is in {name}"
    inside = json.loads(files["doctor.json"])
    assert inside["settings"]["values"]["remote"]["api_key"] == MASK
    assert inside["settings"]["values"]["legacy"]["api_key"] == "$MY_SECRET"
    # What was there is there still, from the home folder on.
    assert inside["settings"]["file"].startswith("~")
    assert inside["models"]["models"][0]["path"].startswith("~")
    assert "~" in files["doctor.txt"]
    assert not [path.name for path in home.iterdir() if path.name.endswith(".part")]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("api_key", True), ("FACEWAVE_REMOTE_API_KEY", True), ("HF_TOKEN", True), ("AWS_SECRET_ACCESS_KEY", True),
        ("DB_PASSWORD", True), ("key_file", False), ("provider", False), ("KEYBOARD", False), ("monkey", False),
    ],
)  # fmt: skip
def test_which_names_hold_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


@pytest.mark.parametrize(
    "text",
    [
        "Bearer abcdefghij", "authorization: bearer abcdefghij", "key nvapi-abcdefghij_k-l", "hf_abcdefghijkl",
        "https://user:abcdefghij@host", "-----BEGIN EC PRIVATE KEY-----\nabcdefghij\n-----END EC PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_secrets_nobody_told_of_are_known_by_their_looks(text: str) -> None:
    clean = Scrubber(FacewaveSettings(), {}).text(text)
    assert "abcdefghij" not in clean
    assert MASK in clean


def test_scrubbing_reaches_into_tables_and_leaves_the_rest() -> None:
    settings = FacewaveSettings(remote=RemoteSettings(api_key="planted-key"))
    scrubber = Scrubber(settings, {"SHORT_KEY": "none"})
    value = {"a planted-key": ["planted-key and none", 3, None, True]}
    assert scrubber.values(value) == {f"a {MASK}": [f"{MASK} and none", 3, None, True]}


def test_command_line_loads_the_doctor_only_when_asked() -> None:
    code = "import facewave.cli, sys; print([name for name in sys.modules if name.startswith('facewave.doctor')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
                          env=os.environ | {"PYTHONPATH": str(ROOT / "src")})  # fmt: skip
    assert done.stdout.strip() == "[]"
