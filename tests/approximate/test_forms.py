"""Affine forms under patterns: the float ones within their error of the rational ones, and of the network itself."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eqverify.approximate.forms import exact_forms, make_frame, pattern_forms, split_pattern
from eqverify.network import evaluate_exact
from eqverify.testing.strategies import any_networks, boxes


@given(st.data())
def test_forms_under_the_pattern_of_a_point_give_the_networks_values(data):
    network = data.draw(any_networks())
    box = data.draw(boxes(network.input_size))
    frame = make_frame(box)
    shares = [data.draw(st.sampled_from((0.0, 0.25, 0.5, 1.0))) for _ in range(network.input_size)]
    x = np.clip(box.lower + (box.upper - box.lower) * np.array(shares), box.lower, box.upper)
    values = evaluate_exact(network, [Fraction(v) for v in x.tolist()])
    none = np.zeros(0, dtype=bool)
    pattern = np.concatenate([none, *([v > 0 for v in values[r.source]] for r in network.relus)]).astype(bool)
    forms = pattern_forms(network, frame, pattern[None])
    active = {name: on[0] for name, on in split_pattern(network, pattern[None]).items()}
    columns = [*(Fraction(v) for v in x[frame.free].tolist()), Fraction(1)]
    for node in network.nodes:
        exact = exact_forms(network, frame, active, node.name)
        for unit in range(network.sizes[node.name]):
            assert sum(c * v for c, v in zip(exact[:, unit], columns, strict=True)) == values[node.name][unit]
            shown = [Fraction(float(c)) for c in forms[node.name].coefficients[0, :, unit]]
            gap = sum((c - e) * v for c, e, v in zip(shown, exact[:, unit], columns, strict=True))
            assert abs(gap) <= Fraction(float(forms[node.name].error[0, unit]))
