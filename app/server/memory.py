"""Keeps glibc from holding on to memory that is free, and Python from looking again and again at what stays.

It opens up to eight arenas a CPU for threads that allocate at the same time, which Python's threads never do, and from
the first large buffer that is freed on it takes larger and larger ones from arenas, where they leave holes.
"""

import ctypes
import gc
import logging

log = logging.getLogger(__name__)

LARGE_BYTES = 128 * 1024  # glibc's own first value, which is kept by being set
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # mallopt's parameters in glibc's malloc.h
_SETTINGS = ((_ARENA_MAX, 2), (_MMAP_THRESHOLD, LARGE_BYTES), (_TRIM_THRESHOLD, LARGE_BYTES))


def give_back_what_is_free() -> None:
    """Allocate from two arenas, and from none what has LARGE_BYTES; for this process and those that it forks.

    Does nothing where the C library is another one. Call before there are threads.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # Windows; musl and macOS
        log.debug("this C library has no mallopt")
        return
    for parameter, value in _SETTINGS:
        mallopt(parameter, value)


def leave_alone_what_stays() -> None:
    """Let the garbage collector look no more at what is there now: modules, classes, the application.

    They are a hundred thousand objects, and a request with many values in its body has all of them looked at: for
    50 ms, in which the event loop waits. Without them it is less than 1 ms.
    """
    gc.collect()
    gc.freeze()
