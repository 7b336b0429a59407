"""`facewave studio`: the face in the browser."""

from __future__ import annotations

from typing import Annotated

import typer


def studio(
    host: Annotated[str, typer.Option(help="Address to listen on; other than this machine's own needs --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8765,
    token: Annotated[str, typer.Option(help="Secret that every request must carry.")] = "",
    allow_origin: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="Other pages that may stream, as https://example.org.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the default browser.")] = False,
) -> None:
    """Open a page that animates a recording or your microphone on a talking head. Ctrl-C ends it."""
    from ..errors import ProviderUnavailableError
    from ..studio.app import create_app

    if host not in ("127.0.0.1", "::1", "localhost") and not token:
        raise typer.BadParameter(f"{host} can be reached by others; give a secret with --token", param_hint="--host")
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise ProviderUnavailableError(
            f"the studio needs {error.name}: install it with  pip install 'facewave[studio]'"
        ) from error
    app = create_app(origins=tuple(allow_origin or ()), token=token)
    address = f"http://{host}:{port}/" + (f"?token={token}" if token else "")
    typer.echo(f"studio: {address}   (Ctrl-C ends it)")
    if open_browser:
        import webbrowser

        webbrowser.open(address)
    uvicorn.run(app, host=host, port=port, log_level="warning", ws_max_size=1 << 20)
