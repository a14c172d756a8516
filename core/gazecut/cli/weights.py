"""`gazecut weights`: checkpoints of models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Checkpoints of models.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `weights convert` two words: an application of one command would take them for one."""


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A file or folder with the weights.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Where to write; not there yet.", show_default=False)],
    like: Annotated[
        Path | None,
        typer.Option("--like", metavar="DIR", help="Take config and processor files from this folder of transformers.", show_default=False),
    ] = None,
) -> None:
    """Write a checkpoint in another form: the tensors stay, bit by bit; names and files change.

    SAM 2 and 2.1 come as Meta publishes them (a .pt file; segmenter sam2) and as transformers has them (a folder with config.json,
    model.safetensors and the processor; segmenter sam2-hf). TARGET says what is wanted: a name that ends in .pt or .safetensors gets
    Meta's form, any other name is a folder for transformers. The four published sizes are known by their tensors; for a model of
    another size, --like names a folder with its config.

    Tensors that are missing or left over stop the conversion, and a pickle that holds more than tensors is not loaded.

    ```
    gazecut weights convert sam2.1_hiera_large.pt sam2.1-hiera-large
    gazecut weights convert sam2.1-hiera-large sam2.1_hiera_large.pt
    gazecut weights convert sam2.1_hiera_large.pt sam2.1_hiera_large.safetensors
    gazecut weights convert mine.pt mine --like folder-of-the-same-size
    ```
    """
    from gazecut.cli.installed import installed
    from gazecut.conversion import convert as convert_weights

    typer.echo(f"{target}: {convert_weights(installed(), source, target, like)}")
