import hashlib
import inspect
import subprocess
from pathlib import Path

import pytest
from botocore.session import Session

from functions.adapters import aws
from ops import packaging

ROOT = packaging.ROOT


def contents(directory: Path) -> dict[str, str]:
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in directory.rglob("*")
        if file.is_file()
    }


def test_the_package_describes_exactly_the_services_that_functions_make_clients_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: set[str] = set()
    monkeypatch.setattr(Session, "create_client", lambda session, service, **options: made.add(service))

    for name, make in inspect.getmembers(aws, callable):
        # Past the cache: a client that another test made must not hide this one, nor this one stay.
        if inspect.unwrap(make).__module__ == aws.__name__ and not name.startswith("_"):
            inspect.unwrap(make)()

    assert made == set(packaging.SERVICES)


def test_trimming_keeps_what_is_read_and_removes_the_rest(tmp_path: Path) -> None:
    kept = (
        "botocore/data/endpoints.json",
        "botocore/data/s3/2006-03-01/service-2.json.gz",
        "httpx/_client.py",
        "httpx-0.28.1.dist-info/METADATA",
        "PIL/_imaging.so",
    )
    removed = (
        "botocore/data/ec2/2016-11-15/service-2.json.gz",
        "botocore/data/s3/2006-03-01/examples-1.json",
        "httpx-0.28.1.dist-info/RECORD",
        "httpx/__pycache__/a.pyc",
        "bin/httpx",
    )
    for name in (*kept, *removed):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    packaging.trim(tmp_path)

    assert contents(tmp_path).keys() == set(kept)


@pytest.mark.e2e
@pytest.mark.parametrize("target", [packaging.local_target(), packaging.aws_target()], ids=lambda it: it.name)
class TestBuiltPackage:
    def test_is_at_most_15_mb_zipped(self, target: packaging.Target) -> None:
        assert packaging.zipped_size(packaging.build(target)) <= 15_000_000

    def test_building_again_changes_nothing_and_installs_nothing(self, target: packaging.Target) -> None:
        directory = packaging.build(target)
        before, installed = contents(directory), (directory / "botocore").stat().st_ctime_ns

        assert contents(packaging.build(target)) == before
        assert (directory / "botocore").stat().st_ctime_ns == installed

    def test_holds_our_code_compiled_where_its_interpreter_is_at_hand(self, target: packaging.Target) -> None:
        directory = packaging.build(target)

        assert (directory / "functions" / "catalog.toml").is_file()
        compiled = {path.parent for path in directory.rglob("__pycache__/*.pyc")}
        if target.name == "local":
            assert {directory / "functions" / "__pycache__", directory / "botocore" / "__pycache__"} <= compiled
        else:
            assert not compiled


@pytest.mark.e2e
def test_local_package_is_complete_without_any_other_package() -> None:
    """-I -S: only the standard library and the package can be imported."""
    directory = packaging.build(packaging.local_target())
    script = f"""
import sys
sys.path.insert(0, {str(directory)!r})
import functions.splitter, functions.worker, functions.completion, functions.tracker, functions.reporter
from botocore.session import get_session
from PIL import features
for name in {packaging.SERVICES!r}:
    get_session().create_client(name, region_name="us-east-1")
assert all(features.check(name) for name in ("jpg", "zlib", "webp"))
"""
    python = ROOT / ".venv-embedded-aws" / "bin" / "python"
    subprocess.run([str(python), "-I", "-S", "-B", "-c", script], check=True)


@pytest.mark.e2e
def test_aws_package_holds_arm64_code_for_the_runtimes_python() -> None:
    directory = packaging.build(packaging.aws_target())
    names = [file.name for file in (directory / "PIL").glob("_imaging.*.so")]

    assert names == ["_imaging.cpython-313-aarch64-linux-gnu.so"]
