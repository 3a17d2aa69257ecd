"""minivit grade FOLDER: points and reports of a folder of submissions.

Exit status: 0 all were graded, 1 the grading of some failed, 2 none could be graded.
"""

from pathlib import Path

from minivit.commands.shared import graded, place


def add_to(commands):
    parser = commands.add_parser("grade", help="grade a folder of submissions")
    parser.add_argument("folder", type=place, help="what Canvas, Moodle, Gradescope ... export, or "
                        "an archive of it; or a folder or an archive a student")  # fmt: skip
    parser.add_argument("--out", type=place, required=True, help="where the results go")
    parser.add_argument("--only", nargs="+", default=(), metavar="STUDENT",
                        help="judge these; the others keep what they have")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="judge anew what was judged")
    parser.add_argument("--marks", type=place, metavar="CSV", help='points for "Explain", and '
                        "overrides: student,exercise,explain,points,comment")  # fmt: skip
    parser.add_argument(
        "--times", type=place, metavar="CSV", help="when they handed in: student,handed in"
    )
    parser.add_argument("--due", metavar="TIME", help="such as 2026-11-03T23:59")
    parser.add_argument("--penalty", type=float, default=0.0, metavar="PERCENT",
                        help="of the points, for each day late that has begun")  # fmt: skip
    parser.add_argument("--processes", type=int, default=None, help="default: one a core")
    parser.add_argument("--seed", type=int, help="makes the inputs; default: that of this class, "
                        "in grading.seed, which `minivit release` writes")  # fmt: skip
    parser.add_argument(
        "--exercises", type=place, help="the folder of the exercises, to know starters"
    )
    parser.set_defaults(run=run)


@graded
def run(options):
    from minivit.grading.exercise import SubmissionError
    from minivit.grading.process import protection
    from minivit.grading.teachers import classroom, marks

    if not 0 <= options.penalty <= 100:
        raise SubmissionError(f"--penalty: expected 0 to 100 percent, got {options.penalty:g}")
    if options.penalty and not options.due:
        raise SubmissionError("--penalty needs --due: when was it to be handed in?")
    rule = marks.Rule(marks.moment(options.due) if options.due else None, options.penalty)
    seed = options.seed
    if seed is None and not Path(options.out, classroom.SEED_FILE).exists():
        if Path(classroom.SEED_FILE).exists():
            seed = classroom.class_seed()
    print(protection.line(*protection.find()))
    results = classroom.grade_class(
        options.folder, options.out, options.processes, seed, only=options.only,
        force=options.force, marked=options.marks, times=options.times, rule=rule,
        exercises=options.exercises,
    )  # fmt: skip
    classroom.say(f"overview.html, points.csv, feedback.zip and students/ in {options.out}")
    line, status = classroom.last_line(results)
    print(line)
    return status
