"""The files of `deploy/` agree with the server they deploy: metrics, ports, paths, options and waiting times."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from facewave.cli import app
from facewave.server.config import load_config
from facewave.server.defaults import DEPLOYMENT
from facewave.server.limits import Limits
from facewave.server.server import ServeOptions
from facewave.settings import load_settings
from tests.servers.cluster import CONNECTIONS, STREAMS, haproxy
from tests.servers.loudness import BatchLoudnessProvider
from tests.servers.serving import RunningServer, call, clip, config, serving, speech

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILES = [DEPLOY / "Dockerfile", DEPLOY / "Dockerfile.cuda"]
PORTS = {"grpc": 52000, "http": 8000, "metrics": 9464}
LONGEST_CALL_S = Limits().max_processing_duration_second


def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """Kind and name -> every object of the Kubernetes folder that is applied."""
    folder = DEPLOY / "kubernetes"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    found = [one for name in listed for one in yaml.safe_load_all((folder / name).read_text())]
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def instructions(dockerfile: Path, name: str) -> list[str]:
    text = re.sub(r"\\\n", " ", dockerfile.read_text())
    return re.findall(rf"^{name}\s+(.*)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    telemetry = {"telemetry.metrics_enabled": True}
    options = ServeOptions(http_address="127.0.0.1:0")
    with serving(BatchLoudnessProvider(), config({}, telemetry), options) as running:
        assert len(call(running.target, clip(speech(1.0))).frames) == 30
        yield running


@pytest.fixture(scope="module")
def exported(server: RunningServer) -> set[str]:
    """Names of the metrics that a server exports after a call."""
    url = f"http://127.0.0.1:{server.server.ports['metrics']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return set(re.findall(r"^([a-z_]+)(?:\{|\s)", answer.read().decode(), re.MULTILINE))


def test_the_ports_are_the_servers_own() -> None:
    files = load_config().files[DEPLOYMENT]
    own = [
        load_config().endpoint.address,
        str(ServeOptions().http_address),
        files["telemetry"]["prometheus_endpoint"],
    ]
    assert [int(address.rpartition(":")[2]) for address in own] == list(PORTS.values())


def test_yaml_of_every_file_is_read() -> None:
    files = sorted(DEPLOY.rglob("*.yaml"))
    assert len(files) >= 8
    for path in files:
        assert all(isinstance(one, dict) for one in yaml.safe_load_all(path.read_text())), path


def test_dashboard_shows_metrics_that_exist(exported: set[str]) -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) >= 10
    for expression in expressions:
        names = set(re.findall(r"\b(?:facewave|streams)_\w+", expression))
        assert names, expression
        assert names <= exported, expression
    query = dashboard["templating"]["list"][1]["query"]["query"]
    assert re.findall(r"label_values\((\w+),", query)[0] in exported
    ours = {name for name in exported if name.startswith(("facewave_", "streams_")) and not name.endswith("_created")}
    shown = {name for expression in expressions for name in re.findall(r"\b(?:facewave|streams)_\w+", expression)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in ours}
    assert families == {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}, "a metric that no panel shows"


def test_autoscaler_asks_for_a_metric_that_exists_and_is_handed_on(exported: set[str]) -> None:
    scaler = manifests()["HorizontalPodAutoscaler", "facewave"]["spec"]
    (metric,) = [row["pods"]["metric"]["name"] for row in scaler["metrics"]]
    assert metric in exported
    (rule,) = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert rule["name"]["as"] == metric
    assert rule["seriesQuery"].startswith(metric + "{")
    target = float(scaler["metrics"][0]["pods"]["target"]["averageValue"])
    arguments = container()["args"]
    assert target < int(arguments[arguments.index("--streams") + 1])
    assert ("Deployment", scaler["scaleTargetRef"]["name"]) in manifests()


def container() -> dict[str, Any]:
    (one,) = manifests()["Deployment", "facewave"]["spec"]["template"]["spec"]["containers"]
    return dict(one)


def test_kubernetes_objects_fit_together(server: RunningServer) -> None:
    objects = manifests()
    pod = objects["Deployment", "facewave"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert {port["name"]: port["containerPort"] for port in container()["ports"]} == PORTS
    service = objects["Service", "facewave"]["spec"]
    assert service["clusterIP"] == "None"
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == PORTS
    for selector in (
        service["selector"],
        objects["Deployment", "facewave"]["spec"]["selector"]["matchLabels"],
        objects["PodDisruptionBudget", "facewave"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert int(pod["metadata"]["annotations"]["prometheus.io/port"]) == PORTS["metrics"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container()[probe]["httpGet"]
        assert asked["port"] == "http"
        url = f"http://127.0.0.1:{server.server.ports['http']}{asked['path']}"
        assert urllib.request.urlopen(url, timeout=10).status == 200
    (backend,) = objects["GRPCRoute", "facewave"]["spec"]["rules"][0]["backendRefs"]
    assert ("Service", backend["name"]) in objects
    assert backend["port"] == PORTS["grpc"]
    timeouts = objects["BackendTrafficPolicy", "facewave"]["spec"]["timeout"]["http"]
    assert timeouts["requestTimeout"] == "0s", "Envoy ends calls after 15 s"
    for kind in ("BackendTrafficPolicy", "ClientTrafficPolicy"):
        (target,) = objects[kind, "facewave"]["spec"]["targetRefs"]
        assert (target["kind"], target["name"]) in objects


def test_nothing_is_stopped_before_its_calls_end() -> None:
    def seconds(arguments: list[str]) -> float:
        drain = {name: float(arguments[arguments.index(name) + 1]) for name in ("--drain-delay", "--drain")}
        assert drain["--drain"] >= LONGEST_CALL_S
        return sum(drain.values())

    spec = manifests()["Deployment", "facewave"]["spec"]["template"]["spec"]
    before = float(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > before + seconds(container()["args"])
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        limit = float(service["stop_grace_period"].removesuffix("s"))
        assert limit > (LONGEST_CALL_S if name == "haproxy" else seconds(service["command"]))
    for path in DOCKERFILES:
        assert seconds(json.loads(instructions(path, "CMD")[-1])) > LONGEST_CALL_S
    for path in (STREAMS, CONNECTIONS):
        waits = dict(re.findall(r"^    (timeout (?:client|server)|hard-stop-after) (\d+)s$", path.read_text(), re.M))
        assert len(waits) == 3
        assert all(float(wait) > LONGEST_CALL_S for wait in waits.values())


def test_compose_is_what_haproxy_expects() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    text = STREAMS.read_text()
    for number in (1, 2, 3):
        host, _, port = re.findall(rf"presetenv FACEWAVE_SERVER_{number} (\S+)", text)[0].partition(":")
        assert (host in services, int(port)) == (True, PORTS["grpc"])
        assert int(re.findall(rf"presetenv FACEWAVE_HTTP_{number} (\S+)", text)[0]) == PORTS["http"]
        assert set(services[host]["expose"]) == {str(port) for port in PORTS.values()}
        build = services[host]["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
        arguments = services[host]["command"]
        streams = arguments[arguments.index("--streams") + 1]
        assert services["haproxy"]["environment"]["FACEWAVE_STREAMS"] == streams
    source = services["haproxy"]["volumes"][0].split(":")[0]
    assert (DEPLOY / source).is_file()
    for name in services["haproxy"]["environment"]:
        assert name in text


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_copy_what_exists_and_open_the_servers_ports(path: Path) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    copied = [words for words in map(shlex.split, instructions(path, "COPY")) if not words[0].startswith("--from")]
    assert copied
    for *sources, _ in copied:
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, one) or source.startswith(f"{one}/") for one in allowed), source
    assert instructions(path, "EXPOSE") == [" ".join(map(str, PORTS.values()))]
    assert len(instructions(path, "FROM")) == 2
    assert instructions(path, "USER") == ["10001:10001"]
    assert all("--require-hashes" in line for line in instructions(path, "RUN") if "-r /constraints" in line)


def started() -> Iterator[tuple[str, list[str]]]:
    for path in DOCKERFILES:
        entry = json.loads(instructions(path, "ENTRYPOINT")[0])
        yield path.name, [*entry, *json.loads(instructions(path, "CMD")[-1])]
        yield f"kubernetes with {path.name}", [*entry, *container()["args"]]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["facewave-1"]["command"]
    yield "compose", [*json.loads(instructions(DOCKERFILES[0], "ENTRYPOINT")[0]), *compose]


@pytest.mark.parametrize(("words"), [words for _, words in started()], ids=[name for name, _ in started()])
def test_servers_are_started_with_options_they_know(words: list[str]) -> None:
    assert words[:2] == ["facewave", "serve"]
    command: Any = get_command(app)
    with command.commands["serve"].make_context("serve", words[2:]) as context:
        assert context.params["http"] == f"0.0.0.0:{PORTS['http']}"
        assert context.params["deployment_config"] == Path("/etc/facewave/deployment_config.yaml")
    found = load_config(deployment=DEPLOY / "deployment_config.yaml")
    assert not found.notes
    assert found.endpoint.address == f"0.0.0.0:{PORTS['grpc']}"
    assert found.metrics_address == f"0.0.0.0:{PORTS['metrics']}"


def test_the_settings_of_the_gpu_image_are_known() -> None:
    values = dict(re.findall(r"\b(FACEWAVE_\w+)=(\S+)", " ".join(instructions(DOCKERFILES[1], "ENV"))))
    assert load_settings(environment=values).models.device == "cuda"


def test_health_check_of_the_image_follows_the_server(server: RunningServer) -> None:
    for path in DOCKERFILES:
        (line,) = instructions(path, "HEALTHCHECK")
        command = json.loads(line.split("CMD", 1)[1])
        assert command[0] == "python"
        here = [sys.executable, *(word.replace(":8000/", f":{server.server.ports['http']}/") for word in command[1:])]
        assert here[1:] != command[1:]
        assert subprocess.run(here, check=False, capture_output=True, timeout=60).returncode == 0
    server.read(lambda: setattr(server.server, "_ready", False))
    try:
        assert subprocess.run(here, check=False, capture_output=True, timeout=60).returncode != 0
    finally:
        server.read(lambda: setattr(server.server, "_ready", True))


def test_pinned_packages_are_those_the_server_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["server"]
    names = {re.split(r"[<>=\[]", line)[0].lower().replace("_", "-") for line in wanted}
    pinned = {
        name: dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints" / name).read_text(), re.MULTILINE))
        for name in ("server.txt", "cuda.txt", "dev.txt")
    }
    assert names <= pinned["server.txt"].keys()
    assert names - {"onnxruntime"} | {"onnxruntime-gpu"} <= pinned["cuda.txt"].keys()
    assert "onnxruntime" not in pinned["cuda.txt"], "the CPU package would overwrite the files of the GPU one"
    # The image has the versions that the tests ran with.
    for name, version in pinned["server.txt"].items():
        assert pinned["dev.txt"][name] == version, name


@pytest.mark.parametrize("path", [STREAMS, CONNECTIONS], ids=lambda path: path.name)
@pytest.mark.parametrize("tls", [False, True])
def test_haproxy_accepts_its_configuration(path: Path, tls: bool, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FACEWAVE_")}
    if tls:
        from tests.servers.certificates import make_certificates
        from tests.servers.cluster import certificate_environment

        environment |= certificate_environment(make_certificates(tmp_path), tmp_path)
    done = subprocess.run(
        [haproxy(), "-c", "-f", str(path)], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if "[WARNING]" in line or "[ALERT]" in line]
    # The default names are those of compose.yaml.
    assert all("could not resolve address 'facewave-" in line for line in complaints), complaints
