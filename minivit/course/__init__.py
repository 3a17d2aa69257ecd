"""The lecture's figures and claims: registered where they are made.

    course.setup()                                    # style, seed, one line: device and versions
    course.figure("F25", fig, alt="Tile (r, c): ...")  # build/figures/F25.png, and shown
    course.claim("C09", "holds", numbers={"r": 0.8}, seeds=[0, 1, 2])  # build/claims.json
    print(course.report())                            # what is made, what is missing, verdicts

The 40 figures and 16 claims, and those of our own, are named in course.toml, beside this file.
"""

from minivit.course.register import (
    CLAIMS,
    FIGURES,
    OURS,
    SLIDES,
    VERDICTS,
    CourseError,
    build_folder,
    claim,
    claims,
    evidence,
    figure,
    figures,
    report,
    verdicts,
)
from minivit.course.style import COLORS, DASHES, setup
