"""The VC dimension of networks and mixtures."""
