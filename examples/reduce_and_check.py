"""Reduce the shipped network, write what belongs to it, and check the certificate, trusting nobody."""

import eqverify as eq

network, query = eq.example_files()
result = eq.reduce(network, query, engine="crown", certificate=True)
result.save("small.onnx", property="small.vnnlib", certificate="small.cert")
before, after = result.problem.relu_count, result.network.relu_count
print(f"{before} ReLUs before, {after} after; no output differs by more than {result.epsilon:.1e}")
print(eq.check(network, query, "small.onnx", "small.cert"))
