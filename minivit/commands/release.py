"""minivit release: what a class needs, in one of three forms."""

from minivit import files
from minivit.commands.shared import graded, place
from minivit.engine.errors import OptionError


def add_to(commands):
    parser = commands.add_parser("release", help="write what a class needs")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--out", type=place, metavar="DIR", help="the students' bundle, a new folder")
    kind.add_argument(
        "--nbgrader", type=place, metavar="DIR", help="a course folder for nbgrader, a new folder"
    )
    kind.add_argument(
        "--gradescope", type=place, metavar="ZIP", help="an autograder for Gradescope, a new file"
    )
    parser.add_argument("--only", nargs="+", default=(), help="exercises of the autograder")
    parser.add_argument("--seed", type=int, help="of grading; default: that of this class, in "
                        "grading.seed here, which is made where there is none")  # fmt: skip
    parser.add_argument(
        "--exercises",
        type=place,
        metavar="DIR",
        help="their folder; default: those that come with minivit",
    )
    parser.set_defaults(run=run)


@graded
def run(options):
    from minivit.grading.teachers import classroom, gradescope, nbgrader

    if options.only and not options.gradescope:
        raise OptionError("--only is for --gradescope: the other two have all exercises")
    folder = options.exercises or files.exercises_folder()
    if options.gradescope:
        seed = classroom.class_seed(seed=options.seed)
        count = gradescope.bundle(options.gradescope, options.only, seed)
        print(f"{options.gradescope}: an autograder for {count} exercise{'s' * (count > 1)}")
    elif options.nbgrader:
        seed = classroom.class_seed(seed=options.seed)
        names = nbgrader.course(folder, options.nbgrader, seed)
        print(f"{len(names)} assignments and nbgrader_config.py in {options.nbgrader}")
    else:
        names = classroom.release(folder, options.out)
        seed = classroom.class_seed(seed=options.seed)
        print(f"{len(names)} files in {options.out}")
    if options.seed is None:
        print(
            f"{classroom.SEED_FILE} holds the seed of this class's grading: keep it here, and do "
            "not hand it out"
        )
    return 0
