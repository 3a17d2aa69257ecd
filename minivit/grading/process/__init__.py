"""The process of the student's code: the program that runs in it, and the sandbox around it."""

import sys

PROCESSES = sys.platform not in ("emscripten", "wasi")  # a browser has none


def student_class():
    """What calls a student's function: in a process of its own, or in this one."""
    if PROCESSES:
        from minivit.grading.process.runner import Student

        return Student
    from minivit.grading.process.inside import Inside

    return Inside
