"""The largest ball around an input on which every input gets the same class: bisection, each step proved or refuted."""

import numpy as np

import eqverify as eq

network = eq.load_network(eq.example_files().network)
centre = eq.load_problem(*eq.example_files()).domain.hull.centre
label = int(np.argmax(network(centre)))
proved, refuted = 0.0, 0.5
for _ in range(5):
    radius = (proved + refuted) / 2
    inputs = " ".join(
        f"(assert (>= X_{k} {x - radius:.9f})) (assert (<= X_{k} {x + radius:.9f}))" for k, x in enumerate(centre)
    )
    variables = [f"X_{k}" for k in range(centre.size)] + [f"Y_{k}" for k in range(10)]
    names = [f"(declare-const {name} Real)" for name in variables]
    beaten = " ".join(f"(and (<= Y_{label} Y_{k}))" for k in range(10) if k != label)
    with open("ball.vnnlib", "w") as file:
        file.write("\n".join([*names, inputs, f"(assert (or {beaten}))"]))
    verdict = eq.verify("ball.vnnlib", eq.example_files().network, timeout=10).verdict
    print(f"radius {radius:.4f}: {verdict}")
    if verdict == "unsat":
        proved = radius
    else:
        refuted = radius
print(f"class {label} on the ball of radius {proved:.4f}; not shown on that of radius {refuted:.4f}")
