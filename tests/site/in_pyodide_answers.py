"""Runs in Pyodide: judges answers of tests/answers, and prints each one's points and mistakes."""

import json

from minivit.grading import judge, submission
from tests import answers

every = answers.everything()
numbers = json.loads(ARGUMENTS[0])  # noqa: F821 (run.mjs sets it)
found = []
for number in numbers:
    answer = every[number]
    cells = submission.Submission("answer.py", [("answer.py", 1, answer.text)])
    verdict = judge.judge(answer.exercise, cells)
    found.append([verdict.points, [o.mistake for o in verdict.outcomes]])
print("FOUND", json.dumps(found))
