"""A network as OMLT's `NetworkDefinition`, and OMLT's layers with proved ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omlt.neuralnet import FullSpaceNNFormulation, NetworkDefinition
from omlt.neuralnet.layer import DenseLayer, InputLayer
from omlt.neuralnet.layers.full_space import full_space_dense_layer

from eqverify.domain import Box
from eqverify.network import Network
from eqverify.stability.facts import Facts
from eqverify.transform.chain import chain_of


def network_definition(network: Network, box: Box, scaling: Any = None) -> Any:
    """The layers of a network, with bounds of its inputs.

    Args:
        network: a chain of dense layers, such as `reduce` writes.
        box: of the network's own inputs: OMLT's scaled ones.
        scaling: an object of OMLT between the inputs of a model and the network's; None for none.

    Raises:
        InputError: `transform/not-a-chain`.
    """
    chain = chain_of(network)
    bounds = dict(enumerate(zip(box.lower.tolist(), box.upper.tolist(), strict=True)))
    definition = NetworkDefinition(scaling_object=scaling, scaled_input_bounds=bounds)
    last: Any = InputLayer([network.input_size])
    definition.add_layer(last)
    parts = [(layer.weight, layer.bias, "relu") for layer in chain.layers] + [(chain.weight, chain.bias, "linear")]
    for weight, bias, activation in parts:
        layer = DenseLayer([weight.shape[1]], [weight.shape[0]], weight.T, bias, activation=activation)
        definition.add_layer(layer)
        definition.add_edge(last, layer)
        last = layer
    return definition


def network_formulation(definition: Any, facts: Facts) -> Any:
    """OMLT's big-M formulation with the proved ranges of units instead of those that it finds by intervals.

    Args:
        definition: of `network_definition`.
        facts: about the network on the same box; their layers are the definition's, in order.
    """
    dense = [layer for layer in definition.layers if isinstance(layer, DenseLayer)]
    ranges = {id(layer): known for layer, known in zip(dense, facts.layers, strict=False)}
    return FullSpaceNNFormulation(definition, layer_constraints={DenseLayer: _tightened(ranges)})


def _tightened(ranges: Mapping[int, Any]) -> Any:
    """OMLT's dense layer, whose pre-activations `zhat` get tighter bounds before big-M constants are made of them."""

    def dense_layer(net_block: Any, net: Any, layer_block: Any, layer: Any) -> None:
        full_space_dense_layer(net_block, net, layer_block, layer)
        known = ranges.get(id(layer))
        if known is None:
            return
        for index in layer.output_indexes:
            z = layer_block.zhat[index]
            z.setlb(max(float(known.lower[index[-1]]), z.lb))
            z.setub(min(float(known.upper[index[-1]]), z.ub))

    return dense_layer
