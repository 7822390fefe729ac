"""Linear regions of a network on a domain, and the network with two hidden layers that is made of them."""
