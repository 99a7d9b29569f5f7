"""The clock of a video: from stamps, which may be missing, start again or leap, to seconds that never go back."""

from __future__ import annotations

from fractions import Fraction

_PATIENCE = Fraction(1, 2)
"""Seconds of film for which stamps may stand still or lie behind before they count as a new recording."""


class VideoClock:
    """Seconds since the first frame, for frames in the order in which they are shown.

    While stamps run on, the seconds are stamp - first stamp, exactly. A new segment begins where a stamp steps
    back by more than half a second, or ahead by more than `longest` seconds (and three times the step before: a
    slow camera's gaps are no leaps). Its first frame comes one `period` after the last one, and stamps count from
    there. A smaller step back is jitter: the clock waits until the stamps have caught up. If they have not
    after half a second of film (short recordings joined, all stamps equal), the time waited is added.
    """

    def __init__(self, period: Fraction, longest: Fraction) -> None:
        self.time = Fraction(0)
        """Of the last frame."""
        self._period = period
        self._longest = longest
        self._zero: Fraction | None = None  # the stamp that stands for 0 s in this segment
        self._stamp = Fraction(0)  # of the last frame
        self._step = Fraction(0)  # from the frame before it
        self._waited = Fraction(0)  # seconds of film since the clock stands still

    def tell(self, stamp: Fraction | None) -> Fraction:
        """Seconds of the next frame; `stamp` is in seconds, None where the file gives none."""
        if self._zero is None:
            self._zero = self._stamp = stamp or Fraction(0)
            return self.time
        if stamp is None:
            stamp = self._stamp + self._period
        step = stamp - self._stamp
        if not -_PATIENCE <= step <= max(self._longest, 3 * self._step):
            self._put_on(self._waited + self._period, stamp)
        elif stamp - self._zero > self.time:
            self.time, self._waited = stamp - self._zero, Fraction(0)
        else:
            self._waited += step if step > 0 else self._period
            if self._waited > _PATIENCE:
                self._put_on(self._waited, stamp)
        self._stamp, self._step = stamp, step
        return self.time

    def _put_on(self, seconds: Fraction, stamp: Fraction) -> None:
        """A new segment begins with `stamp`, so many seconds after the last time."""
        self.time += seconds
        self._zero, self._waited = stamp - self.time, Fraction(0)
