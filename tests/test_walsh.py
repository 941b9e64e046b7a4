"""The Walsh-Hadamard transform against its definition."""

import numpy as np
import pytest

from qmend.walsh import walsh_hadamard, walsh_matrix


@pytest.mark.parametrize("n", [0, 1, 4])
def test_the_transform_is_the_sum_over_signs_and_its_own_inverse(random_distributions, n):
    p = random_distributions(3, n)
    index = np.arange(2**n)
    sign = (-1.0) ** np.bitwise_count(index[:, None] & index)
    np.testing.assert_array_equal(walsh_matrix(n), sign)
    np.testing.assert_allclose(walsh_hadamard(p), p @ sign, atol=1e-12)
    np.testing.assert_allclose(walsh_hadamard(walsh_hadamard(p)) / 2**n, p, atol=1e-12)
    np.testing.assert_array_equal(walsh_hadamard(p[0]), walsh_hadamard(p)[0])
    assert walsh_hadamard(p.astype(np.float32)).dtype == np.float32
