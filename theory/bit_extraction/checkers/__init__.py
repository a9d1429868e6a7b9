"""What only bit-extraction networks are asked: their blocks, and the interpolant that they must be."""
