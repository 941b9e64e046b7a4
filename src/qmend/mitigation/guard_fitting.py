"""Fit a guard to circuits whose ideal is known, and choose its threshold."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
from mapie.risk_control import BinaryClassificationController
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from qmend.mitigation.guard import HarmScore
from qmend.types import AnyArray, FloatArray

#: Shares of the fitted circuits that tried thresholds apply to.
_APPLIED = np.linspace(0.02, 1.0, 99)
#: p-values that the order of thresholds goes along.
_EVIDENCE = np.logspace(-25, 0, 200)
_ITERATIONS = 1000


def fit_score(
    signals: Mapping[str, FloatArray],
    harmed: AnyArray,
    names: Sequence[str],
    degree: int,
    penalty: float,
) -> HarmScore:
    """Fit the probability of harm by logistic regression.

    It is the same for all circuits where none, or each, is harmed.

    Args:
        signals: (N,) by name.
        harmed: (N,) bool.
        names: of those that the score reads.
        degree: of the largest products of standardised signals.
        penalty: half of it times the squared weights of standardised terms adds to the sum of N
            log-losses.
    """
    mean = np.array([signals[name].mean() for name in names])
    deviation = np.array([signals[name].std() for name in names])
    scale = np.where(deviation > 0, deviation, 1.0)
    terms = tuple(
        term for size in range(1, degree + 1) for term in combinations_with_replacement(names, size)
    )
    count = np.count_nonzero(harmed)
    odds = float(np.log((count + 0.5) / (len(harmed) - count + 0.5)))
    blank = HarmScore(tuple(names), mean, scale, terms, np.zeros(len(terms)), odds)
    if count in (0, len(harmed)):
        return blank
    products = blank.products(signals)
    scaler, model = StandardScaler(), LogisticRegression(C=1 / penalty, max_iter=_ITERATIONS)
    model.fit(scaler.fit_transform(products), harmed)
    weights = model.coef_[0] / scaler.scale_
    intercept = float(model.intercept_[0] - weights @ scaler.mean_)
    return replace(blank, weights=weights, intercept=intercept)


def choose_threshold(
    fitted: FloatArray,
    fitted_harmed: AnyArray,
    harm: FloatArray,
    harmed: AnyArray,
    most: float,
    confidence: float,
) -> float | None:
    """Choose the largest share of circuits to apply to at a bounded share of harm.

    Learn then test (Angelopoulos et al., arXiv 2110.01052): thresholds are tested in a sequence
    until one does not pass. Its order comes from the circuits that the score was fitted to: from
    the threshold with the most evidence among them to those that apply to more circuits. With the
    given confidence over the draw of the other circuits, at most the given share of those that the
    chosen threshold applies to is harmed.

    Args:
        fitted, fitted_harmed: (M,) probability of harm, and harm, of the circuits that the score
            was fitted to.
        harm, harmed: (N,) of others, which are independent of each other.
        most: share of harmed circuits among those applied to.

    Returns:
        The largest probability of harm that is applied to; None if no threshold is valid.
    """
    thresholds = np.unique(np.quantile(fitted, _APPLIED))
    applied = fitted <= thresholds[:, None]
    harms = np.count_nonzero(applied & fitted_harmed, axis=1)
    evidence = -binom.logcdf(harms, np.count_nonzero(applied, axis=1), most)
    thresholds = thresholds[evidence.argmax() :]
    controller = BinaryClassificationController(
        predict_function=lambda values: np.column_stack([values, 1 - values]),
        risk="precision",  # of the prediction that a circuit is not harmed
        target_level=1 - most,
        confidence_level=confidence,
        list_predict_params=1 - thresholds,
        fwer_method="split_fixed_sequence",
    )
    controller.learn_fixed_sequence_order(fitted, ~fitted_harmed, _EVIDENCE, binary=True)
    with warnings.catch_warnings():
        # None is valid, or all are.
        warnings.filterwarnings("ignore", message="(No|All provided) predict")
        controller.calibrate(harm, ~harmed)
    best = controller.best_predict_param
    if best is None:
        return None
    # The very number: 1 - (1 - t) may be below the t that some circuits have.
    return float(thresholds[np.abs(1 - thresholds - best).argmin()])
