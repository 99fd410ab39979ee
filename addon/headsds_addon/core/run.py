# SPDX-License-Identifier: GPL-3.0-or-later
"""Following one generation from the main thread: a state machine that is polled.

    LOADING -> RUNNING -> DONE
        \\          \\----> FAILED
         \\-----------\\--> CANCELLED      (through `cancelling` until the core has ended)

A Python thread loads the prior and makes the job; the job runs on the core's own thread. Nothing
here blocks, except abandon() at the end of the process.
"""

import atexit
import threading
from dataclasses import dataclass

LOADING, RUNNING, DONE, CANCELLED, FAILED = "LOADING", "RUNNING", "DONE", "CANCELLED", "FAILED"
OVER = (DONE, CANCELLED, FAILED)

_alive = set()                  # also runs that nobody follows any more: their threads go on


@dataclass(frozen=True)
class Progress:
    """How far the job is; step counts all its stages, prepared what this stage needs before."""
    stage: str = "geometry"
    step: int = 0
    step_count: int = 0
    seconds_left: float = None
    prepared: int = 0
    preparation_count: int = 0

    @property
    def fraction(self):
        return self.step / self.step_count if self.step_count else 0.0


class Run:
    """`make` loads what is needed and returns a job that was started; called on another thread."""

    def __init__(self, make, cancelled_type):
        self.state = LOADING
        self.cancelling = False
        self.progress = Progress()
        self.head = None
        self.error = ""
        self._make = make
        self._cancelled_type = cancelled_type
        self._job = None
        self._load_error = None
        self._preview_step = 0
        self._thread = threading.Thread(target=self._load, name="headsds-load", daemon=True)
        _alive.add(self)
        self._thread.start()

    def _load(self):
        try:
            self._job = self._make()
            if self.cancelling:         # by somebody who may not poll any more
                self._job.cancel()
        except Exception as error:
            self._load_error = error

    def poll(self):
        """Looks how the job is doing; returns the state."""
        if self.state == LOADING and not self._thread.is_alive():
            if self._load_error is not None:
                self._end(self._load_error)
            else:
                self.state = RUNNING
        if self.state == RUNNING:
            self._follow()
        if self.state in OVER:
            _alive.discard(self)
        return self.state

    def _follow(self):
        try:
            head = self._job.wait(0)
        except Exception as error:
            self._end(error)
            return
        now = self._job.progress()
        self.progress = Progress(now.stage, now.step, now.step_count, now.seconds_left,
                                 now.prepared, now.preparation_count)
        if head is not None:
            self.head = head
            self.state = CANCELLED if self.cancelling else DONE

    def _end(self, error):
        if self.cancelling or isinstance(error, self._cancelled_type):
            self.state = CANCELLED
        else:
            self.state = FAILED
            self.error = str(error) or type(error).__name__

    def preview(self):
        """The head as it is now, or None when there is nothing newer than the last one."""
        if self.state != RUNNING or self.cancelling or self.progress.step <= self._preview_step:
            return None
        self._preview_step = self.progress.step
        return self._job.preview()

    def cancel(self):
        """Asks the job to end; it is over when poll() says CANCELLED."""
        if self.state in OVER or self.cancelling:
            return
        self.cancelling = True
        if self._job is not None:
            self._job.cancel()

    def abandon(self):
        """Cancels and waits: for the end of the process, which must not outrun its threads."""
        self.cancel()
        self._thread.join()
        while self.state not in OVER:
            if self.poll() == RUNNING:
                try:
                    self._job.wait()
                except Exception:
                    self.state = CANCELLED
        _alive.discard(self)

    def text(self):
        """One line for people."""
        if self.state == LOADING:
            return "Cancelling" if self.cancelling else "Loading the models"
        if self.state == RUNNING:
            if self.cancelling:
                return "Cancelling"
            return describe(self.progress)
        return {DONE: "Done", CANCELLED: "Cancelled", FAILED: self.error}[self.state]


def describe(progress):
    """Geometry, step 12 of 600, 1:05 left"""
    if progress.step_count == 0:
        return "Preparing"
    left = "" if progress.seconds_left is None else f", {clock(progress.seconds_left)} left"
    if progress.prepared < progress.preparation_count:
        return (f"Preparing {progress.stage}, {progress.prepared} of "
                f"{progress.preparation_count}{left}")
    return f"{progress.stage.capitalize()}, step {progress.step} of {progress.step_count}{left}"


def clock(seconds):
    """0:09, 1:05, 2:03:00"""
    whole = int(seconds + 0.5)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


@atexit.register
def _abandon_all():
    for run in list(_alive):
        run.abandon()
