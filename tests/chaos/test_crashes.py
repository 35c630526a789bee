"""Which crash points are gone through, where, and that none of this is deployed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from functions.core.catalog import Mode, OnAmbiguous, parse_catalog
from ops import packaging
from tests.chaos.crashes import Point, shared_out, spread
from tests.chaos.injected.points import Points, armed_name
from tests.chaos.lanes import LANES, PATIENCE_SECONDS, TIMEOUT_SECONDS, Lane, catalog

FUNCTIONS = packaging.ROOT / "functions"
HERE = Path(__file__).parent


def test_every_point_has_one_lane_and_workers_their_own() -> None:
    points = [Point(f"worker-{lane}", f"jobs.{n}") for lane in LANES for n in range(5)]
    points += [Point(part, f"batches.{n}") for part in ("splitter", "reporter", "completion") for n in range(9)]

    found = shared_out(points)

    assert sorted(point for both in found.values() for several in both for point in several) == sorted(points)
    for lane, (own, others) in found.items():
        assert {point.part for point in own} == {f"worker-{lane}"}
        assert len([point for point in others if point.part != "completion"]) <= 4, "they are shared out evenly"
    assert {lane for lane, (_, others) in found.items() if "completion" in {one.part for one in others}} == {"callback"}


def test_like_lanes_share_their_points_and_none_is_left_out() -> None:
    names = [f"jobs.{n}" for n in range(6)]
    points = [Point(f"worker-{lane}", name) for lane in ("poll", "poll-repay") for name in names]
    points += [Point("worker-poll-repay", "jobs.repay"), Point("worker-sync", "jobs.0"), Point("tracker", "x")]

    found = spread(points)

    assert sorted(point.name for point in found if "poll" in point.part) == sorted([*names, "jobs.repay"])
    assert Point("worker-poll-repay", "jobs.repay") in found
    assert {Point("worker-sync", "jobs.0"), Point("tracker", "x")} <= set(found)
    assert sum(point.part == "worker-poll" for point in found) == 3


class TestArmed:
    """A point that is armed happens once, to the batch that it is armed for."""

    @pytest.fixture
    def happened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
        for name in ("armed", "fired", "passed"):
            (tmp_path / name).mkdir()
        signals: list[tuple[int, int]] = []
        monkeypatch.setattr("os.kill", lambda pid, number: signals.append((pid, number)))
        return signals

    def points(self, folder: Path) -> Points:
        return Points(folder, "worker-poll", {"JOBS_TABLE": "the-jobs", "LANE_QUEUES": "{}"})

    def test_it_happens_to_the_first_that_passes_and_to_no_other(
        self, tmp_path: Path, happened: list[tuple[int, int]]
    ) -> None:
        name = armed_name("worker-poll", "jobs.accept", "", "kill")
        (tmp_path / "armed" / name).touch()
        points = self.points(tmp_path)

        for point in ("jobs.succeed", "jobs.accept", "jobs.accept"):
            points._pass(point, f"{{'job_id': '{'a' * 64}'}}")

        assert len(happened) == 1
        assert json.loads((tmp_path / "fired" / name).read_text())["jobs"] == ["a" * 64]
        assert sorted(file.name for file in (tmp_path / "passed").iterdir()) == [
            "worker-poll~jobs.accept",
            "worker-poll~jobs.succeed",
        ]

    def test_it_happens_only_to_the_batch_it_is_about(self, tmp_path: Path, happened: list[tuple[int, int]]) -> None:
        (tmp_path / "armed" / armed_name("worker-poll", "jobs.accept", "poll-crash-1-", "kill")).touch()
        points = self.points(tmp_path)
        for letter, batch_id in (("a", "poll-crash-0-77"), ("b", "poll-crash-1-77")):
            points._learn({"Attributes": {"job_id": {"S": letter * 64}, "batch_id": {"S": batch_id}}})

        points._pass("jobs.accept", "a" * 64)
        assert not happened
        points._pass("jobs.accept", "b" * 64)
        assert len(happened) == 1


def test_nothing_of_this_folder_is_in_the_package_that_is_deployed(tmp_path: Path) -> None:
    package = tmp_path / "functions"
    packaging._copy_code(package)

    assert {file.relative_to(package) for file in package.rglob("*.py")} == {
        file.relative_to(FUNCTIONS) for file in FUNCTIONS.rglob("*.py")
    }
    ours = {file.read_bytes() for file in (HERE / "injected").glob("*.py")}
    assert not ours & {file.read_bytes() for file in package.rglob("*") if file.is_file()}


def test_the_functions_know_of_no_crash_point() -> None:
    """Neither by its name nor by what it would need: they send no signal and read no variable of this folder's."""
    forbidden = re.compile(r"chaos|crash.?point|\bSIGKILL\b|\bSIGSTOP\b|os\.kill\b|os\._exit\b", re.IGNORECASE)

    for file in FUNCTIONS.rglob("*.py"):
        found = forbidden.findall(file.read_text(encoding="utf-8"))
        assert not found, f"{file} mentions {found}"


def test_the_catalog_has_every_mode_and_every_policy() -> None:
    models = parse_catalog(catalog()).models

    assert {
        name: Lane(model.mode, model.on_ambiguous, int(model.inline_seconds)) for name, model in models.items()
    } == LANES
    assert {(model.timeout_seconds, model.patience_seconds) for model in models.values()} == {
        (TIMEOUT_SECONDS, PATIENCE_SECONDS)
    }
    assert {lane.mode for lane in LANES.values()} == set(Mode)
    assert {lane.on_ambiguous for lane in LANES.values()} == set(OnAmbiguous)
