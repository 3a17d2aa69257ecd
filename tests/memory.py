"""The memory that Python and NumPy allocate in a block of a test."""

import contextlib
import tracemalloc


@contextlib.contextmanager
def traced():
    """Count from nothing in the block: `with traced() as memory: ...; held, peak = memory()`, both
    in bytes. Counting ends with the block, also where the block fails: what a test leaves switched
    on is counted in the next one."""
    tracemalloc.stop()
    tracemalloc.start()
    try:
        yield tracemalloc.get_traced_memory
    finally:
        tracemalloc.stop()
