"""Runs in Pyodide: judges answers of tests/answers, one after another in this interpreter; prints a
line of JSON for each, its number and its verdict."""

import json
from dataclasses import asdict

from minivit.grading import judge, submission
from tests import answers

every = answers.everything()
for number in json.loads(ARGUMENTS[0]):  # noqa: F821 (run.mjs sets it)
    answer = every[number]
    cells = submission.Submission("answer.py", [("answer.py", 1, answer.text)])
    print(json.dumps([number, asdict(judge.judge(answer.exercise, cells))]), flush=True)
