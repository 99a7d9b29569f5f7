"""Ctrl-C and SIGTERM as requests, so that a run stops between two steps, where its checkpoint is exact."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LAST_STEP = 120
"""Seconds that the last step may take after SIGTERM."""
_NOTICE = b"\nstopping after this step; once more stops at once\n"


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether a stop has been requested. The second request raises KeyboardInterrupt.

    Only the main thread can handle signals: in others nothing changes. Signals that are ignored stay ignored.
    """
    asked = False

    def note(_number: int, _frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        os.write(2, _NOTICE)  # print could be in the middle of another line

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_stopping_to_others(_worker: int) -> None:
    """Lets a process that reads pictures outlive what stops a run and reaches it, too: the last step still needs it.

    Ctrl-C goes to all processes of a terminal, and SIGTERM to all of a service. After SIGTERM it ends by itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: signal.alarm(_LAST_STEP))
