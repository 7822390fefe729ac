"""What `info` says about a network and a property."""

from __future__ import annotations

from pathlib import Path

import numpy as np

Pairs = list[tuple[str, object]]


def describe_network(path: Path, query: Path | None = None) -> Pairs:
    """Ports, operators and size of an ONNX file; what is not supported, where it cannot be read.

    What can be read is compared with onnxruntime on the property's inputs, or around zero where there is none.

    Raises:
        InputError: `read/differs`.
    """
    from eqverify.api.loading import compared, load_query
    from eqverify.frontend.onnx import STORED, UNREAD, describe, read_front
    from eqverify.frontend.vnnlib import lower

    about = describe(path)
    pairs: Pairs = [
        ("network", str(path)),
        ("opset", about.opset),
        ("producer", about.producer),
        ("inputs", ", ".join(_port(p.name, p.element, p.shape) for p in about.inputs)),
        ("outputs", ", ".join(_port(p.name, p.element, p.shape) for p in about.outputs)),
        ("operators", ", ".join(f"{name} x{count}" for name, count in about.operators)),
        ("weights", about.parameters),
        ("supported", not about.unsupported),
    ]
    for reading in about.readings:
        told = "stored" if reading.becomes == STORED else "unread" if reading.becomes == UNREAD else "read"
        pairs.append((f"{told} {reading.operator}", f"{reading.becomes} ({', '.join(reading.nodes)})"))
    for problem in about.unsupported:
        why = f"{problem.reason} [{problem.code}]" + (f"; {problem.hint}" if problem.hint else "")
        pairs.append((f"unsupported {problem.operator} {problem.node}".strip(), why))
    if about.cut is not None:
        pairs.append(("cut at", ", ".join(about.cut.tensors) or "no tensor"))
        pairs.append(("because of", ", ".join(f"{node.operator} {node.node}" for node in about.cut.opaque)))
        pairs.append(("before the cut", f"{about.cut.relus} ReLUs"))
        pairs.append(("behind the cut", f"{about.cut.copied} nodes, copied"))
    if about.cut is not None and (whole := read_front(path, smooth=True)).network.smooth:
        rest = "" if whole.cut is None else f", cut at {', '.join(whole.cut.tensors) or 'no tensor'}"
        counts = f"{len(whole.network.smooth)} smooth nodes and products, {whole.as_stored.relu_count} ReLUs{rest}"
        pairs.append(("verify, reduce", counts))
    if not about.unsupported or about.cut is not None:
        front = read_front(path)
        network = front.as_stored
        specification = None if query is None else lower(load_query(query))
        pairs.append(("read", compared(path, front, None if specification is None else specification.domain)))
    if not about.unsupported:
        sizes = ", ".join(str(network.sizes[node.name]) for node in network.relus)
        pairs += [("ReLU layers", sizes or "none"), ("ReLUs", network.relu_count), ("digest", front.network.digest)]
    return pairs


def describe_query(path: Path) -> Pairs:
    """Arity, input set and output condition of a property."""
    from eqverify.api.loading import load_query
    from eqverify.frontend.vnnlib import lower

    query = load_query(path)
    specification = lower(query)
    domain = specification.domain
    width = domain.upper - domain.lower
    rows = sum(len(part.bound) for part in domain.polytopes)
    return [
        ("property", str(path)),
        ("version", specification.version),
        ("networks", ", ".join(signature.name for signature in specification.networks)),
        ("declared", f"{specification.input_size} inputs, {specification.output_size} outputs"),
        ("input set", f"{len(domain.polytopes)} box(es), {rows} linear constraint(s)"),
        ("free inputs", int(np.any(width > 0, axis=0).sum())),
        ("widest input", float(width.max(initial=0.0))),
        ("output disjuncts", sum(len(case.unsafe) for case in specification.cases)),
        *([("not VNN-LIB, read as SMT-LIB means it", ", ".join(query.notes))] if query.notes else []),
    ]


def _port(name: str, element: str, shape: tuple[int | str, ...] | None) -> str:
    return f"{name} {element}[{', '.join(str(extent) for extent in shape or ())}]"
