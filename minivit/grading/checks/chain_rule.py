"""Exercise 16: the backward pass over a graph of numbers.

g[last] = 1,   g[parent] += g[node] · slope(node, parent),   from the last node to the first
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property
from minivit.grading.properties import equals, leaves_nothing_behind


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


def _until_an_input(case):
    parents, slopes = case.inputs.values()
    end = max((i for i, mine in enumerate(parents) if not mine), default=0)
    before = [[] for _ in range(end)]
    return gradients(Case({"parents": before + parents[end:], "slopes": before + slopes[end:]}))


def truth(case):
    return {"g": gradients(case)}


@st.composite
def cases(draw, kind="any"):
    """Nodes in the order in which they were computed. Kinds: "chain", one parent each; "any", one
    to three different parents; "shortcut", the last node uses an early one directly and by a chain;
    "twice", a node uses the same parent two times; "unused", some nodes lead nowhere; "late", an
    input stands behind other nodes; "ladder", 10^8 paths lead from the last node to the first."""
    if kind == "ladder":
        n = draw(st.integers(40, 41))
        parents = [[], [0]] + [[i - 1, i - 2] for i in range(2, n)]
        return Case({"parents": parents, "slopes": [[0.6, 0.5][: len(mine)] for mine in parents]})
    n = draw(st.integers(1 if kind == "chain" else 4, 6))
    parents = [[]]
    for node in range(1, n):
        if kind in ("chain", "shortcut"):
            mine = [node - 1]
        else:
            mine = list(draw(st.permutations(range(node))))[: draw(st.integers(1, 2))]
        parents.append(mine)
    if kind == "shortcut":
        parents[-1] = list(draw(st.permutations([n - 2, 1])))
    if kind == "any":  # two ways from the first node to the last
        parents[1], parents[2], parents[-1] = [0], [0], list(draw(st.permutations([0, 1, 2])))
    if kind == "late":
        parents[1], parents[2], parents[-1] = [0], [], list(draw(st.permutations([1, 2])))
    if kind == "twice":
        parents[1], parents[2] = [0, 0], [1, 1]
        parents[-1] = list(draw(st.permutations([2, n - 2])))[: 1 if n == 4 else 2]
    if kind == "unused":
        parents[1], parents[2], parents[-1] = [0], [0, 1], [1]
        parents[3:-1] = [[2] for _ in parents[3:-1]]
    slopes = [
        [float(draw(st.sampled_from([2, 3, -1.1, 0.1, -0.7]))) for _ in mine] for mine in parents
    ]
    return Case({"parents": parents, "slopes": slopes})


def _kept_for_leaves(case):
    g = gradients(case)
    g[[i for i, p in enumerate(case.inputs["parents"]) if p]] = 0
    return g


def _breadth_first(case):
    """Each node once, in the order in which it is met on the way from the last one."""
    parents, slopes = case.inputs.values()
    g, waiting, seen = np.zeros(len(parents)), [len(parents) - 1], {len(parents) - 1}
    g[-1] = 1.0
    for node in waiting:
        for parent, slope in zip(parents[node], slopes[node]):
            g[parent] += g[node] * slope
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
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
    "a node is visited before all of its children have been: breadth first from the last":
        _breadth_first,
    "only nodes without parents keep their gradient": _kept_for_leaves,
    "the walk ends at the first input that it meets: inputs may stand behind other nodes":
        _until_an_input,
    "a parent that is used twice by one node sends one slope only": _each_parent_once,
}  # fmt: skip

EXERCISE = Exercise(
    number=16,
    function="chain_rule",
    title="The backward pass",
    lecture="Vision Transformer",
    section="Back through three nodes",
    outputs=("g",),
    properties=(
        Property("a chain: one parent each", 1, cases(kind="chain"), equals("g", truth), "g"),
        Property("a node with several children gets a sum", 3,
                 (cases(), cases(kind="late")), equals("g", truth), "g"),
        Property("a node waits for all of its children", 2,
                 (cases(kind="shortcut"), cases(kind="ladder")),
                 equals("g", truth), "g"),
        Property("a node that uses the same parent twice", 2, cases(kind="twice"),
                 equals("g", truth), "g"),
        Property("a node that the last one does not depend on has gradient 0", 1,
                 cases(kind="unused"), equals("g", truth), "g"),
        leaves_nothing_behind(truth, 1, cases(), np.float64),
    ),
    mistakes=tuple(Mistake("g", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
