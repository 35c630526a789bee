import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = sorted((ROOT / "ops" / "locks").glob("*.txt"))


def versions(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", lock.read_text(), re.MULTILINE))


def test_there_is_a_lock_for_each_environment() -> None:
    assert {lock.stem for lock in LOCKS} == {"awscli", "dev", "embedded-aws", "lambda", "uv"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_has_a_hash_for_everything_and_no_address(lock: Path) -> None:
    text = lock.read_text()

    assert "://" not in text
    assert "--find-links" not in text
    assert versions(lock)
    for requirement in re.split(r"\n(?=[a-z0-9])", text.split("\n", 2)[2]):
        assert "--hash=sha256:" in requirement, requirement


def test_the_node_lock_has_a_hash_for_everything_and_no_address() -> None:
    text = (ROOT / "package-lock.json").read_text()
    packages = {name: entry for name, entry in json.loads(text)["packages"].items() if name}

    assert "://" not in text
    assert not [name for name, entry in packages.items() if "dev" in entry]  # NODE_ENV=production leaves those out
    assert packages["node_modules/aws-cdk"]["version"] == "2.1148.1"
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())


def test_functions_are_tested_with_the_versions_they_run_with() -> None:
    tested = versions(ROOT / "ops" / "locks" / "dev.txt")

    assert versions(ROOT / "ops" / "locks" / "lambda.txt").items() <= tested.items()
