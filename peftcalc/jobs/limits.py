"""What one visitor may take from the others, and the sentence for whoever has taken it."""

from __future__ import annotations

from dataclasses import dataclass

from peftcalc.jobs.job import MAX_RECORDS, Job


@dataclass(frozen=True)
class Limits:
    """Limits of a queue; times in seconds."""

    work: str = "training"
    """What its workers do, for sentences."""
    jobs_of_visitor: int = 2
    """Alive at once; one more ends the oldest."""
    waiting: int = 200
    """Jobs in the line, of all visitors."""
    parked: int = 4
    """Paused parts that a worker holds; one more ends the job that was paused first."""
    running: float = 180.0
    """Running time of a part, pauses left out."""
    paused: float = 600.0
    away: float = 120.0
    """Without a look at the job (`JobQueue.touch`)."""
    patience: float = 20.0
    """From asking a part to stop until its worker is replaced."""
    records: int = MAX_RECORDS
    """Of a job; what it tells beyond is dropped."""
    again: int = 0
    """How often a part is run again whose worker was lost; else its job fails."""

    def reached(self, job: Job, now: float) -> str | None:
        """Why this job must end at the time `now` (of `time.monotonic`), or None.

        >>> job = Job("ada", "finetune", [{}])
        >>> Limits().reached(job, job.seen + 60), Limits().reached(job, job.seen + 121)
        (None, 'It ended because nobody looked at it for 2 minutes.')
        """
        if now - job.seen > self.away:
            return f"It ended because nobody looked at it for {self.away / 60:g} minutes."
        if job.state == "paused" and now - job.paused_since > self.paused:
            return f"It ended after a pause of {self.paused / 60:g} minutes."
        if any(part.seconds(now) > self.running for part in job.parts):
            return f"It ended at the limit of this server: {self.running:g} seconds of {self.work}."
        return None
