"""Profiles the process by its CPU time, if ``BENCH_PROFILE`` names a file; the harness puts this folder on the path.

Each millisecond of CPU time, a signal handler counts the functions on the stack of the main thread: the innermost one
(own time), and each one once (time with the functions that it calls). The counts are written when the process ends, and
reset by SIGUSR2, so that the start of the process is not part of them.
"""

import atexit
import json
import os
import signal
from collections import Counter
from types import FrameType

_SECONDS = 0.001
_own: Counter[str] = Counter()
_with_callees: Counter[str] = Counter()


def _name(frame: FrameType) -> str:
    code = frame.f_code
    return f"{'/'.join(code.co_filename.split('/')[-2:])}:{code.co_qualname}"


def _sample(_: int, frame: FrameType | None) -> None:
    if frame is None:
        return
    _own[_name(frame)] += 1
    names = set()
    current: FrameType | None = frame
    while current is not None:
        names.add(_name(current))
        current = current.f_back
    _with_callees.update(names)


def _reset(_: int, __: FrameType | None) -> None:
    _own.clear()
    _with_callees.clear()


def _write(file: str) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    with open(file, "w") as output:
        json.dump({"own": _own.most_common(400), "with_callees": _with_callees.most_common(400)}, output)


if os.environ.get("BENCH_PROFILE"):
    signal.signal(signal.SIGPROF, _sample)
    signal.signal(signal.SIGUSR2, _reset)
    signal.setitimer(signal.ITIMER_PROF, _SECONDS, _SECONDS)
    atexit.register(_write, os.environ["BENCH_PROFILE"])
