"""minivit grade FOLDER: points and reports of a folder of submissions."""

from minivit.commands.shared import graded


def add_to(commands):
    parser = commands.add_parser("grade", help="grade a folder of submissions")
    parser.add_argument("folder", help="has a folder or a zip file a student")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the results go")
    parser.add_argument("--processes", type=int, metavar="N", help="default: one a core")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="makes the inputs; the default is public"
    )
    parser.set_defaults(run=run)


@graded
def run(options):
    from minivit.grading.process import protection
    from minivit.grading.teachers import classroom

    seed = classroom.GRADING_SEED if options.seed is None else options.seed
    print(protection.line(*protection.find()))
    points = classroom.grade(options.folder, options.out, options.processes, seed)
    print(f"{len(points)} submissions: points.csv, overview.html and students/ in {options.out}")
    return 0
