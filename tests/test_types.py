"""The hint at the end of an error about an unknown name."""

import pytest

from qmend.types import nearest


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("percever", "Did you mean 'perceiver'?"),
        ("xyz", "Valid: kl, perceiver, relative_l1."),
        ("relative", "Did you mean 'relative_l1'?"),
    ],
)
def test_the_nearest_name_or_all_of_them(word, expected):
    assert nearest(word, ["relative_l1", "kl", "perceiver", "kl"]) == expected
