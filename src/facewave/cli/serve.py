"""`facewave serve`: offer a provider over gRPC to every Audio2Face-3D client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..server.config import ServerConfig
    from ..server.server import ServeOptions


def serve(
    provider: Annotated[str, typer.Option(help="Provider to offer; see `facewave providers`.")] = "",
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 for every interface.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="gRPC port; 0 for a free one.")] = None,
    streams: Annotated[int | None, typer.Option(min=1, help="Streams at the same time.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Server processes that share the port.")] = 1,
    stylization_config: Annotated[Path | None, typer.Option(metavar="FILE.yaml", help="Character.")] = None,
    deployment_config: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="Addresses, streams, telemetry.")
    ] = None,
    advanced_config: Annotated[Path | None, typer.Option(metavar="FILE.yaml", help="Limits and pipeline.")] = None,
    fps: Annotated[str, typer.Option(help="Frames per second on the wire.")] = "30",
    tongue: Annotated[bool, typer.Option("--tongue", help="Send all 68 blend shapes instead of 52.")] = False,
    a2e_output: Annotated[bool, typer.Option("--a2e-output", help="Fill a2e_output; breaks some clients.")] = False,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Bearer keys, one a line; calls without one are refused.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="PEM", help="Server certificate: turns TLS on.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="Private key of the certificate.")] = None,
    tls_ca: Annotated[Path | None, typer.Option(metavar="PEM", help="Demand client certificates signed by it.")] = None,
    legacy: Annotated[bool, typer.Option("--legacy", help="Also serve the one-way protocol (port 50000).")] = False,
    authoring: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="One more address for authoring clients.")
    ] = None,
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="HTTP health; blank for none.")] = "127.0.0.1:8000",
    metrics: Annotated[bool, typer.Option("--metrics", help="Offer metrics to Prometheus (port 9464).")] = False,
    drain: Annotated[float, typer.Option(min=0, help="Seconds running streams get when told to stop.")] = 30.0,
    drain_delay: Annotated[
        float, typer.Option(min=0, help="Seconds before that in which health says no but new calls are still served.")
    ] = 0.0,
    connection_age: Annotated[
        float | None, typer.Option(min=1, help="Seconds after which clients must connect anew. Default: never.")
    ] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log lines as JSON.")] = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print what would be used, and stop.")] = False,
) -> None:
    """Serve NVIDIA's Audio2Face-3D protocol: clients of its service need only another address.

    Listens on this machine only, unless --host or a deployment file says otherwise. Stop with Ctrl-C or SIGTERM:
    running streams may end first.
    """
    from ..server.config import load_config
    from ..server.logs import set_up
    from ..server.security import read_keys
    from ..server.server import ServeOptions
    from ..timing import frame_rate

    config = load_config(
        stylization_config,
        deployment_config,
        advanced_config,
        overrides=_overrides(
            host=host,
            port=port,
            deployment=deployment_config,
            streams=streams,
            tongue=tongue,
            metrics=metrics,
            tls=(tls_cert, tls_key, tls_ca),
        ),
    )
    options = ServeOptions(
        fps=frame_rate(fps),
        combined_emotion=a2e_output,
        legacy=legacy,
        authoring_address=authoring,
        http_address=http or None,
        keys=read_keys(keys) if keys is not None else (),
        drain_s=drain,
        drain_delay_s=drain_delay,
        connection_age_s=connection_age,
    )
    if print_config:
        _print(provider, config, options, workers)
        return
    set_up(config.log_level, as_json=log_json)
    for note in config.notes:
        typer.secho(note, fg=typer.colors.YELLOW, err=True)
    _run(provider, config, options, workers, json_logs=log_json)


def _run(provider: str, config: ServerConfig, options: ServeOptions, workers: int, *, json_logs: bool) -> None:
    import asyncio

    from ..providers import open_provider
    from ..server.server import Server
    from ..server.workers import WorkerPool

    if workers > 1:
        pool = WorkerPool(provider, config, options, workers, json_logs=json_logs)
        asyncio.run(pool.run_until_signal())
    else:
        asyncio.run(Server(open_provider(provider), config, options).run_until_signal())


def _overrides(
    *,
    host: str | None,
    port: int | None,
    deployment: Path | None,
    streams: int | None,
    tongue: bool,
    metrics: bool,
    tls: tuple[Path | None, Path | None, Path | None],
) -> dict[str, dict[str, Any]]:
    """The options that have a key in NVIDIA's files, by file and key."""
    from ..server.config import load_config
    from ..server.defaults import DEPLOYMENT, STYLIZATION

    changes: dict[str, dict[str, Any]] = {DEPLOYMENT: {}, STYLIZATION: {}}
    server = "endpoints.bidirectional.server"
    if host is not None or port is not None:
        old_host, _, old_port = load_config(deployment=deployment).endpoint.address.rpartition(":")
        changes[DEPLOYMENT][f"{server}.url"] = f"{host or old_host}:{old_port if port is None else port}"
    if streams is not None:
        changes[DEPLOYMENT]["common.stream_number"] = streams
    if metrics:
        changes[DEPLOYMENT]["telemetry.metrics_enabled"] = True
    if tongue:
        changes[STYLIZATION]["enable_tongue_blendshapes"] = True
    certificate, key, ca = tls
    if certificate is not None or key is not None or ca is not None:
        changes[DEPLOYMENT][f"{server}.secure_mode"] = "tls" if ca is None else "mtls"
        for name, path in (("certificate_path", certificate), ("key_path", key), ("ca_path", ca)):
            if path is not None:
                changes[DEPLOYMENT][f"{server}.{name}"] = str(path)
    return changes


def _print(provider: str, config: ServerConfig, options: ServeOptions, workers: int) -> None:
    from ..server.config import as_yaml

    typer.echo(f"# provider: {provider or 'default'}, workers: {workers}, frames per second: {float(options.fps):g}")
    typer.echo(f"# keys: {len(options.keys) or 'none, everyone may call'}")
    for name, content in config.files.items():
        typer.echo(f"# --- {name}")
        typer.echo(as_yaml(content), nl=False)
