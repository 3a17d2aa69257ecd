"""Graded exercises: `minivit check 17` in a terminal, `check("layer_norm", globals())` in a cell.

exercise    what an exercise is: properties, and mistakes that have names
checks/     one module an exercise
numeric     a student's vjp beside differences, before the judge looks
submission  a student's code, from a file, a notebook or a running kernel
ipython     the commands in a notebook's cells (%time, !ls, x?), read as IPython reads them
runner      calls the student's function in a process of its own (child), which a clock may kill
sandbox     locks that process; protection says what holds on this machine, by trying
inside      calls it in this interpreter, where there are no processes: in a browser
judge       looks for the smallest input that fails, and names the mistake
report      what the student reads
figures     a figure of the lecture with the student's function, in the last cell
starter     makes the student's files from the source with the solution
teachers/   a class: who handed in what (names, archives, layouts, handed_in), judged on many
            processes (judging, workshop), with what a person adds (marks, results), and back
            again (pages, exports, similar); gradescope: an autograder for it; nbgrader: a course
            folder for it, where a student's text is text (markup)
"""

from minivit.grading.exercise import TodoError
from minivit.grading.figures import draw
from minivit.grading.numeric import gradient_errors
from minivit.grading.submission import check

__all__ = ["TodoError", "check", "draw", "gradient_errors"]
