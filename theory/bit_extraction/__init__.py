"""Deep narrow experts of about ε^{−k/2} parameters."""
