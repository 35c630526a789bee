"""The recount: every job of a batch's manifest against the jobs table, exactly, and the results as they are.

One pass over the parts in the order of the file. Memory holds one part, and the id of each job seen so far (some 150
bytes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from functions.core.batches import manifest
from functions.core.batches.counting import add_to, worth
from functions.core.batches.dropping import Others, drop, droppable
from functions.core.batches.manifest import Row
from functions.core.batches.records import Batch, BatchStore, epoch_ms
from functions.core.batches.results import ResultsTable
from functions.core.catalog import Catalog, Mode
from functions.core.errors import ErrorClass
from functions.core.jobs import demand
from functions.core.jobs.records import Job, Stage, State
from functions.core.ports import EventLog, JobStore, ObjectStore, Upload

SILENCE_SECONDS = 180
"""Where nothing was heard of a job, a batch or its ringing for so long, somebody looks."""

_ROWS_AT_A_TIME = 500


@dataclass(slots=True)
class Truth:
    """What a recount found: the counters, and for each model the first part with a job that nobody seems to look at."""

    counts: dict[str, int | Decimal] = field(default_factory=dict)
    silent: dict[str, int] = field(default_factory=dict)

    @property
    def unfinished(self) -> int:
        """Jobs to which something will still happen by itself."""
        return int(self.counts.get("pending", 0) + self.counts.get("running", 0))

    @property
    def held(self) -> int:
        """Jobs that wait for a person."""
        return int(self.counts.get("held", 0))


class MissingJobError(Exception):
    """Raised when the manifest names a job that the jobs table does not have."""


@dataclass(slots=True, kw_only=True)
class Recount:
    """One recount of one batch.

    expire: jobs that nobody started are failed as expired. partly: results are wanted even if jobs are unfinished.
    Of a cancelled batch, jobs that were not called are let go.
    """

    batches: BatchStore
    jobs: JobStore
    metadata: ObjectStore
    catalog: Catalog
    log: EventLog
    batch: Batch
    now_ms: int
    expire: bool
    partly: bool
    truth: Truth = field(default_factory=Truth)
    _first_rows: dict[bytes, int] = field(default_factory=dict)
    _others: Others = field(init=False)

    def __post_init__(self) -> None:
        self._others = Others(self.batches, self.batch.batch_id)

    def run(self, results: Upload) -> Truth:
        """Count, and write the results for as long as they will be wanted. The caller finishes or discards them."""
        table = ResultsTable(self.batch.batch_id)
        for number, part in enumerate(self.batches.parts(self.batch.batch_id)):
            content = manifest.load(self.metadata, self.batch.batch_id, part.offset)
            if number == 0:
                table.header(content)
            for at in range(0, len(content.rows), _ROWS_AT_A_TIME):
                rows = content.rows[at : at + _ROWS_AT_A_TIME]
                jobs = self._read(rows)
                for row in rows:
                    earlier = self._count(row, jobs, part.offset)
                    if self.wanted:
                        table.row(row, jobs, earlier)
                if self.wanted:
                    results.write(table.take())
        return self.truth

    @property
    def wanted(self) -> bool:
        """Whether the results are of use, as far as has been counted."""
        return self.partly or not self.truth.unfinished

    def _read(self, rows: Sequence[Row]) -> dict[str, Job]:
        ids = [job_id for row in rows for job_id in row.job_ids]
        jobs = self.jobs.get_many(ids, consistent=True)
        for job_id in ids:
            if job_id not in jobs:
                raise MissingJobError(f"batch {self.batch.batch_id} asked for job {job_id}, which is gone")
        if self.batch.cancelled:
            jobs |= self._drop(jobs)
        else:
            jobs |= self._take_back(jobs)
        if self.expire:
            jobs |= self._expire(jobs)
        return jobs

    def _drop(self, jobs: Mapping[str, Job]) -> dict[str, Job]:
        uncalled = {job_id: job for job_id, job in jobs.items() if droppable(job) and self._abandoned(job)}
        return drop(uncalled, self._others, self.jobs, self.now_ms, self.log)

    def _take_back(self, jobs: Mapping[str, Job]) -> dict[str, Job]:
        """Jobs that a cancelled batch let fail, since it did not see that this one had just joined them."""
        lost = [job for job in jobs.values() if job.state is State.FAILED and job.error_class is ErrorClass.CANCELLED]
        if not lost or self.expire:
            return {}
        batch_id = self.batch.batch_id
        self.jobs.write_many({job.job_id: demand.revive(job, batch_id, self.now_ms) for job in lost})
        self.log("jobs_taken_back", batch_id=batch_id, jobs=len(lost))
        return self.jobs.get_many([job.job_id for job in lost], consistent=True)

    def _expire(self, jobs: Mapping[str, Job]) -> dict[str, Job]:
        expired = {
            job.job_id: demand.expire(job, self.now_ms)
            for job in jobs.values()
            if self._abandoned(job) and not self._others.waiting_for(job)
        }
        if not expired:
            return {}
        refused = self.jobs.write_many(expired)
        after = self.jobs.get_many(list(expired), consistent=True)
        for job_id in expired.keys() - refused.keys():
            job = after[job_id]
            self.log("job_ended", job_id=job_id, outcome=job.state, error_class="expired", model=job.model)
        return after

    def _count(self, row: Row, jobs: Mapping[str, Job], part: int) -> dict[str, int]:
        """Count a row; for those of its jobs that were counted before, the row where they were."""
        wanted = len(row.job_ids)
        counts = self.truth.counts
        add_to(
            counts, {"rows": 1, "invalid_rows": int(not wanted), "requested": wanted, "duplicates_prevented": wanted}
        )
        earlier = {}
        for job_id in row.job_ids:
            first = self._first_rows.setdefault(bytes.fromhex(job_id), row.row)
            if first != row.row:
                earlier[job_id] = first
                continue
            job = jobs[job_id]
            add_to(counts, worth(self.batch.batch_id, job))
            if job.paid_by(self.batch.batch_id):
                add_to(counts, {"duplicates_prevented": -1})
            if self._silent(job):
                self.truth.silent.setdefault(job.model, part)
        return earlier

    def _abandoned(self, job: Job) -> bool:
        """Whether nobody is at the job."""
        return job.state is State.PENDING or (job.state is State.RUNNING and self._silent(job))

    def _silent(self, job: Job) -> bool:
        if job.state is State.PENDING:
            return epoch_ms(job.updated_at) <= self.now_ms - SILENCE_SECONDS * 1000
        quiet_ms = (SILENCE_SECONDS + self._patience_seconds(job)) * 1000
        return job.state is State.RUNNING and job.lease_expires_at <= self.now_ms - quiet_ms

    def _patience_seconds(self, job: Job) -> int:
        """How long a job is left alone by design: its callback is to come, and its message stays hidden meanwhile."""
        model = self.catalog.models.get(job.model)
        if model is None or model.mode is not Mode.CALLBACK or job.stage is not Stage.ACCEPTED:
            return 0
        return model.patience_seconds
