"""One span a call, named after its method; a real collector endpoint takes what is sent."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc
import pytest

from facewave.wire._proto import a2x_export_config_service_pb2_grpc as export_grpc
from facewave.wire._proto.a2x_export_config_service_pb2 import ConfigsTypeRequest
from tests.servers.loudness import LoudnessProvider
from tests.servers.serving import call, clip, config, serving, speech


def test_calls_become_spans() -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="OpenTelemetry is not installed")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            received.append(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet."""

    collector = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    telemetry = {"telemetry.traces_enabled": True, "telemetry.otlp_http_traces_endpoint": endpoint}
    try:
        with serving(LoudnessProvider(), config({}, telemetry)) as server:
            assert call(server.target, clip(speech(0.2))).code is grpc.StatusCode.OK
            with grpc.insecure_channel(server.target) as channel:
                request = ConfigsTypeRequest()
                assert len(list(export_grpc.A2XExportConfigServiceStub(channel).GetConfigs(request))) == 3
    finally:
        collector.shutdown()
        thread.join()
        collector.server_close()
    spans = [
        span
        for body in received
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert [span.name for span in spans] == [
        "nvidia_ace.services.a2f_controller.v1.A2FControllerService/ProcessAudioStream",
        "nvidia_ace.services.a2x_export_config.v1.A2XExportConfigService/GetConfigs",
    ]
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for span in spans)
