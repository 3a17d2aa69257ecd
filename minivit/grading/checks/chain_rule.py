"""Exercise 6: the backward pass over a graph of numbers.

g[last] = 1,   g[parent] += g[node] · slope(node, parent),   from the last node to the first
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property
from minivit.grading.properties import equals


def gradients(case, add=True, order=-1, seed=1.0, flow=True, product=True):
    parents, slopes = case.inputs.values()
    g = np.zeros(len(parents))
    g[-1] = seed
    for node in range(len(parents))[::order]:
        for parent, slope in zip(parents[node], slopes[node]):
            here = g[node] if flow else 1.0
            sent = here * slope if product else here + slope
            g[parent] = g[parent] + sent if add else sent
    return g


def truth(case):
    return {"g": gradients(case)}


@st.composite
def cases(draw, twice=False, chain=False, unused=False):
    """Nodes in the order in which they were computed; node 0 has no parents, later ones one or two
    (with `twice` the same one two times); with `unused` some lead nowhere."""
    n = draw(st.integers(3, 6))
    parents, slopes = [[]], [[]]
    for node in range(1, n):
        if chain:
            mine = [node - 1]
        elif twice and node == n - 1:
            mine = [node - 1] * 2
        else:
            low = 0 if unused else max(0, node - 2)
            mine = [draw(st.integers(low, node - 1)) for _ in range(draw(st.integers(1, 2)))]
            mine[0] = mine[0] if unused else node - 1
        parents.append(mine)
        slopes.append([float(draw(st.sampled_from([2, 3, -1, 5, -2]))) for _ in mine])
    return Case({"parents": parents, "slopes": slopes})


def _kept_for_leaves(case):
    g = gradients(case)
    g[[i for i, p in enumerate(case.inputs["parents"]) if p]] = 0
    return g


def _each_parent_once(case):
    parents, slopes = case.inputs.values()
    once = [list(dict(zip(p, s)).items()) for p, s in zip(parents, slopes)]
    lists = [[[pair[i] for pair in node] for node in once] for i in (0, 1)]
    return gradients(Case(dict(zip(("parents", "slopes"), lists))))


MISTAKES = {
    "the gradient of a parent is replaced, not added to: it may have several children":
        lambda c: gradients(c, add=False),
    "the nodes are visited from the first to the last": lambda c: gradients(c, order=1),
    "the gradient of the node itself is left out: the slopes of a path are multiplied":
        lambda c: gradients(c, flow=False),
    "slopes are added along a path; they are multiplied": lambda c: gradients(c, product=False),
    "the last node begins with 0; its gradient is 1": lambda c: gradients(c, seed=0.0),
    "only nodes without parents keep their gradient": _kept_for_leaves,
    "a parent that is used twice by one node sends one slope only": _each_parent_once,
}  # fmt: skip

EXERCISE = Exercise(
    number=6,
    function="chain_rule",
    title="The backward pass",
    lecture="Vision Transformer",
    section="Back through three nodes",
    outputs=("g",),
    properties=(
        Property("a chain: one parent each", 2, cases(chain=True), equals("g", truth), "g"),
        Property("a node with several children gets a sum", 5, cases(), equals("g", truth), "g"),
        Property("a node that uses the same parent twice", 2, cases(twice=True),
                 equals("g", truth), "g"),
        Property("a node that the last one does not depend on has gradient 0", 1,
                 cases(unused=True), equals("g", truth), "g"),
    ),
    mistakes=tuple(Mistake("g", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
