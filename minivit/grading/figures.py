"""The last cell of an exercise: a figure of the lecture, with the student's function in it.

    draw(figure)

It is for looking at; nothing in it is judged.
"""

from minivit.grading.exercise import TodoError


def draw(figure):
    """Show `figure()`, a matplotlib figure, with its docstring as alt text; or say in a sentence
    what is to do first. Outside of a notebook there is nowhere to show it, and nothing happens."""
    if not _in_notebook():
        return
    made, sentence = attempt(figure)
    if made is None:
        print(sentence)
        return
    from minivit.course.plots.drawing import show

    show(made, " ".join(figure.__doc__.split()))


def attempt(figure):
    """(figure(), "") in the lectures' style, or (None, what is to do first)."""
    again = "Then run this cell again."
    try:
        import matplotlib.pyplot as plt

        from minivit.course import style
    except ImportError:
        return None, "No figure here: matplotlib is not installed."
    with plt.rc_context():
        style.look()
        before = plt.get_fignums()
        try:
            return figure(), ""
        except TodoError as todo:
            sentence = f"No figure yet. {todo} {again}"
        except NameError as error:
            sentence = f"No figure yet: {error}. Run the cells above first. {again}"
        except Exception as error:
            sentence = (
                f"No figure yet: what your function gives cannot be drawn ({type(error).__name__}: "
                f"{error}). The check above shows a small input that goes wrong. {again}"
            )
        for number in set(plt.get_fignums()) - set(before):  # half drawn
            plt.close(number)
        return None, sentence


def _in_notebook():
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return get_ipython() is not None
