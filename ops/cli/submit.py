"""``imagebatch submit``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ops import uploads
from ops.cli.frame import JsonOption, connect, print_json, stderr
from ops.cli.waiting import report_outcome, wait


def submit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or TSV with a header line.", show_default=False)],
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help="The recipe that makes prompts of its columns.", show_default=False)
    ] = "",
    wait_for_it: Annotated[
        bool, typer.Option("--wait", help="Show the progress, and end when the batch does.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload a file, which starts a batch, and print the batch's id.

    Any other S3 client does the same by copying the file into the inbox bucket; the folder it is put into names the
    recipe. Rows that were made before, in this batch or in any other, are not paid for again.
    """
    stack = connect(context)
    upload = uploads.submit(stack, file, recipe)
    if wait_for_it:
        stderr.print(f"Submitted as {upload.batch_id}", markup=False)
        report_outcome(stack, wait(stack, upload.batch_id), as_json)
    elif as_json:
        print_json(asdict(upload))
    else:
        typer.echo(upload.batch_id)
        stderr.print(f"Follow it: imagebatch status {upload.batch_id} --watch", style="dim", markup=False)
