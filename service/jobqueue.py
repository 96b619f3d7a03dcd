"""The job queue as the web needs it: only to put jobs in."""

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import procrastinate


class JobQueue:
    """Asks the worker for things. Connects at the first use; thread-safe."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._lock = threading.Lock()
        self._app: procrastinate.App | None = None

    def request_sweep(self) -> None:
        """Ask the worker to sweep now. Never fails: the sweep of the next minute does the same."""
        from service.jobs import defer_sweep

        defer_sweep(self._opened())

    def wake(self, job_id: int) -> None:
        """Have a worker begin this job now. Never fails: it begins within a minute anyway."""
        from service.jobs import defer_job

        defer_job(self._opened(), job_id)

    def _opened(self) -> "procrastinate.App":
        # Procrastinate and psycopg take a fifth of a web process's start, and most processes never ask for anything.
        from service.jobs import deferring_app

        with self._lock:
            if self._app is None:
                self._app = deferring_app(self._database_url)
            return self._app
