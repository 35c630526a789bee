"""Look at what `make demo` left, as a person would: every row, its picture, and the page that shows it.

Usage: python -m tests.check_demo out
"""

from __future__ import annotations

import csv
import sys
from hashlib import sha256
from html import unescape
from pathlib import Path

from PIL import Image

PRODUCTS = Path(__file__).resolve().parent.parent / "events" / "products.csv"
FILE = "file"


def problems(folder: Path) -> list[str]:
    """What is wrong with a batch's folder, one sentence each."""
    results, sent = _rows(folder / "results.csv"), _rows(PRODUCTS)
    page = unescape((folder / "index.html").read_text(encoding="utf-8"))
    found = []
    if [row["sku"] for row in results] != [row["sku"] for row in sent]:
        found.append(f"results.csv has not the {len(sent)} rows of products.csv in their order")
    for row in results:
        file = row[FILE]
        if row["status"] != "success":
            found.append(f"{row['sku']}: status is {row['status']}: {row['error']}")
        elif row["sku"] not in file:
            found.append(f"{row['sku']}: its picture {file!r} is not named after it")
        elif file not in page:
            found.append(f"{row['sku']}: index.html does not show {file}")
        else:
            found += _picture_problems(row, folder / file)
    if not found:
        pictures = {sha256((folder / row[FILE]).read_bytes()).digest() for row in results}
        jobs = {row["job_id"] for row in results}
        if len(pictures) != len(jobs):
            found.append(f"{len(jobs)} jobs have only {len(pictures)} different pictures")
    return found


def _picture_problems(row: dict[str, str], path: Path) -> list[str]:
    try:
        with Image.open(path) as image:
            image.load()
            size = image.size
    except OSError as error:
        return [f"{row['sku']}: {path.name} is no picture: {error}"]
    asked = (int(row["width"] or 1024), int(row["height"] or 1024))
    return [] if size == asked else [f"{row['sku']}: the picture is {size}, the row asked for {asked}"]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def main() -> None:
    """Check each batch's folder; exit code 1 and a line for each problem if there is one."""
    folders = sorted(Path(sys.argv[1]).glob(f"{PRODUCTS.stem}-*"))
    found = [f"{folder}: {problem}" for folder in folders for problem in problems(folder)]
    if not folders:
        found = [f"{sys.argv[1]}: the demo left nothing"]
    if found:
        sys.exit("\n".join(found))
    names = ", ".join(map(str, folders))
    sys.stdout.write(f"{names}: every row has its picture, and the page shows them.\n")


if __name__ == "__main__":
    main()
