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
from functions.core.batches.manifest import Row
from functions.core.batches.records import Batch, BatchStore, epoch_ms
from functions.core.batches.results import ResultsTable
from functions.core.catalog import Catalog, Mode
from functions.core.jobs import lifecycle
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
    _open: dict[str, bool] = field(default_factory=dict)

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
        if self.expire:
            expired = {
                job.job_id: lifecycle.expire(job, self.now_ms)
                for job in jobs.values()
                if (job.state is State.PENDING or (job.state is State.RUNNING and self._silent(job)))
                and not self._wanted_elsewhere(job)
            }
            if expired:
                refused = self.jobs.write_many(expired)
                jobs |= self.jobs.get_many(list(expired), consistent=True)
                for job_id in expired.keys() - refused.keys():
                    job = jobs[job_id]
                    self.log("job_ended", job_id=job_id, outcome=job.state, error_class="expired", model=job.model)
        return jobs

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

    def _wanted_elsewhere(self, job: Job) -> bool:
        """Whether another open batch waits for the job, one whose seven days may not be over."""
        for batch_id in job.batches - {self.batch.batch_id}:
            if batch_id not in self._open:
                other = self.batches.get(batch_id)
                self._open[batch_id] = other is not None and other.is_open
            if self._open[batch_id]:
                return True
        return False
