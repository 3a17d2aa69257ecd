"""What a report shows can be pasted into Python."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minivit.grading import report

KINDS = [np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool]


@given(st.data(), st.sampled_from(KINDS), hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
def test_an_array_comes_back_with_its_dtype(data, dtype, shape):
    """It is named only where an array of these numbers would have another one: so an int64 of a
    computer and an int32 of a browser read alike."""
    array = data.draw(hnp.arrays(np.uint8, shape)).astype(dtype)
    text = report.show(array)
    back = eval(text, {"np": np})
    assert back.dtype == dtype and np.array_equal(back.reshape(shape), array)
    assert ("dtype" in text) == (np.array(array.tolist()).dtype != dtype)
    assert report.show(np.arange(2)) == "np.array([0, 1])"
