"""`facewave models`: NVIDIA-format model folders on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ..inference.store import ModelStore, StoredModel
    from ..providers.a2f.folder.bundle import Bundle

app = typer.Typer(
    help="Models in NVIDIA's Audio2Face-3D format: add, list, check, fetch and shrink them.", no_args_is_help=True
)

_Store = Annotated[
    Path | None, typer.Option("--store", metavar="DIR", help="Another store than the user's own (models.store).")
]


@app.command("add")
def add(
    path: Annotated[Path, typer.Argument(help="A model folder, or its model.json.")],
    name: Annotated[str, typer.Option(help="Name in the store. Default: the folder's.")] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not read the large files; `verify` does that later.")
    ] = False,
    store: _Store = None,
) -> None:
    """Add a folder you have. Its kind is detected and everything in it is checked; the files stay where they are."""
    from ..providers.a2f.folder.bundle import entry_point, load_bundle

    entry = entry_point(path)
    bundle = load_bundle(entry)
    if not quick:
        _validate(bundle)
        _arrange(bundle)
    model = _store(store).add(name or _default_name(entry), entry, kind=bundle.kind)
    typer.echo(f"added {model.name}: {_title(bundle)}")


@app.command("list")
def list_models(store: _Store = None) -> None:
    """List the models that can be named, those of the search path (models.path) included."""
    from rich.table import Table

    place = _store(store)
    models = place.models()
    if not models:
        typer.echo(f"no models in {place.folder}; facewave models pull NAME, or facewave models add PATH")
        return
    table = Table()
    table.add_column("model", no_wrap=True)
    for column in ("kind", "identities", "size"):
        table.add_column(column)
    table.add_column("where", overflow="fold")
    for model in models:
        kind, who, size = _row(model)
        table.add_row(model.name, kind, who, size, str(model.path.parent))
    _console().print(table)


@app.command("info")
def info(
    name: Annotated[str, typer.Argument(help="Name in the store, or a path.")],
    store: _Store = None,
) -> None:
    """Show a model's sizes, identities, emotions, parameters, files and licence."""
    from ..providers.a2f.folder.bundle import load_bundle
    from ..providers.a2f.folder.describe import describe

    path, source = _located(name, _store(store))
    console = _console()
    for title, rows in [*describe(load_bundle(path), source), ("on this machine", [("network", _form())])]:
        console.print(f"[bold]{title}[/bold]", highlight=False)
        for label, value in rows:
            console.print(f"  {label:<28} {value}", highlight=False, soft_wrap=True, markup=False)


@app.command("verify")
def verify(
    name: Annotated[str, typer.Argument(help="Name in the store, or a path.")],
    store: _Store = None,
) -> None:
    """Read every file of a model and compare them with each other."""
    from ..providers.a2f.folder.bundle import load_bundle

    path, source = _located(name, _store(store))
    bundle = load_bundle(path, confined=bool(source))
    _validate(bundle)
    typer.echo(f"{name}: {_title(bundle)}: complete and consistent")


@app.command("remove")
def remove(name: Annotated[str, typer.Argument(help="Name in the store.")], store: _Store = None) -> None:
    """Forget a model. Files that `pull` fetched are deleted, a folder that was added stays."""
    model = _store(store).remove(name)
    typer.echo(f"removed {model.name}" + ("" if model.own else f"; its files stay in {model.path.parent}"))


@app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help="A published model, as Audio2Face-3D-v2.3-Mark, or OWNER/REPOSITORY.")],
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.")] = "main",
    store: _Store = None,
) -> None:
    """Fetch a published model from the Hugging Face hub; an interrupted download resumes.

    Some repositories ask for a licence to be accepted on their page first; log in with `hf auth login` or HF_TOKEN.
    """
    from ..inference.hub import pull as fetch
    from ..providers.a2f.folder.bundle import load_bundle
    from ..providers.a2f.locate import REPOSITORIES

    by_name = {known.lower(): repository for known, repository in REPOSITORIES.items()}
    repository = by_name.get(name.lower(), name)
    if "/" not in repository:
        raise typer.BadParameter(
            f"{name!r} is neither a published model ({', '.join(REPOSITORIES)}) nor OWNER/REPOSITORY", param_hint="NAME"
        )
    place = _store(store)
    short = repository.rsplit("/", 1)[-1]
    entry = fetch(repository, place.place(short), revision=revision)
    bundle = load_bundle(entry, confined=True)
    _validate(bundle)
    _arrange(bundle)
    model = place.add(short, entry, kind=bundle.kind, source=f"https://huggingface.co/{repository}", replace=True)
    typer.echo(f"pulled {model.name}: {_title(bundle)}; its licence is that of {model.source}")


@app.command("quantize")
def quantize(
    name: Annotated[str, typer.Argument(help="Name in the store, or a path.")],
    variants: Annotated[
        list[str] | None, typer.Option("--variant", metavar="plane|int8|fp16", help="Which to make. Default: all.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each network.")] = 3,
    store: _Store = None,
) -> None:
    """Make other forms of a model's network beside it, and compare size, speed and error with the network's own.

    plane: the same numbers, rearranged for faster CPU kernels. int8: 8-bit weights. fp16: 16-bit floats, for GPUs.
    Noise stands for the audio. models.variant chooses which form is used; without it a CPU takes plane by itself, made
    on first use. Needs `pip install facewave[quantize]`.
    """
    from rich.table import Table

    from ..inference.variants import VARIANTS, make_variant
    from ..providers.a2f.compare import compare
    from ..providers.a2f.folder.bundle import load_bundle

    path, _ = _located(name, _store(store))
    bundle = load_bundle(path)
    console = _console(stderr=True)
    files = {"fp32": bundle.network}
    for variant in variants or list(VARIANTS):
        with console.status(f"making {variant}"):
            files[variant] = make_variant(bundle.network, variant)
    table = Table("network", "MB", "ms a run", "CPU ms", "largest error", "mean error", "spread of output")
    with console.status("comparing"):
        rows = compare(bundle, files, runs)
    for row in rows:
        table.add_row(
            row.name, f"{row.megabytes:.1f}", f"{row.milliseconds:.1f}", f"{row.cpu_milliseconds:.1f}",
            f"{row.largest:.2g}", f"{row.mean:.2g}", f"{row.spread:.2g}",
        )  # fmt: skip
    _console().print(table)


def _validate(bundle: Bundle) -> None:
    from ..providers.a2f.folder.validate import validate

    console = _console(stderr=True)
    with console.status("checking") as status:
        validate(bundle, lambda what: status.update(f"checking {what}"))


def _arrange(bundle: Bundle) -> None:
    """Make the network's faster form now, so that the first session need not."""
    from ..inference.fastest import fastest_form
    from ..settings import load_settings

    models = load_settings().models
    if not models.variant:
        with _console(stderr=True).status("arranging the network for this machine"):
            fastest_form(bundle.network, models.device)


def _form() -> str:
    """Which form of a network runs here."""
    from ..inference.fastest import faster_with
    from ..inference.store import cache_folder
    from ..settings import load_settings

    models = load_settings().models
    if models.variant:
        return f"{models.variant}, as models.variant says"
    if models.device.lower() != "cpu":
        return f"its own, on {models.device}"
    missing = faster_with(models.variant, models.device)
    kept = cache_folder() / "networks"
    return f"its own; {missing}" if missing else f"the same numbers in a faster form, made once and kept in {kept}"


def _store(folder: Path | None) -> ModelStore:
    from ..inference.store import ModelStore
    from ..providers.a2f.locate import model_store
    from ..settings import load_settings

    return ModelStore(folder) if folder is not None else model_store(load_settings())


def _located(name: str, store: ModelStore) -> tuple[Path, str]:
    """Entry point and source of a model given by name or path."""
    if Path(name).exists():
        return Path(name), ""
    model = store.find(name)
    return model.path, model.source


def _default_name(entry: Path) -> str:
    import re

    return re.sub(r"[^A-Za-z0-9._-]+", "-", entry.resolve().parent.name).lstrip("._-") or "model"


def _row(model: StoredModel) -> tuple[str, str, str]:
    from ..errors import ModelError
    from ..providers.a2f.folder.bundle import load_bundle
    from ..providers.a2f.folder.describe import identities_of, size_of

    try:
        bundle = load_bundle(model.path)
    except ModelError as error:
        return f"broken: {error}", "", ""
    return bundle.kind, ", ".join(identities_of(bundle)), f"{size_of(bundle) / 1e6:.1f} MB"


def _title(bundle: Bundle) -> str:
    from ..providers.a2f.folder.describe import identities_of

    who = ", ".join(identities_of(bundle))
    return f"{bundle.kind} model" + (f" of {who}" if who else "")


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)
