"""The restricted model of a network, from which linear and mixed-integer programs are assembled."""
