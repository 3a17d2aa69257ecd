"""Commands for teachers: hand out, collect, grade a class, and report."""

from minivit.grading.process import PROCESSES

if not PROCESSES:
    raise ImportError(
        "minivit.grading.teachers cannot be used here: grading runs every answer in a process of "
        "its own, and a browser has none. Hand out and grade on a computer with Python; `check` "
        "works here"
    )
