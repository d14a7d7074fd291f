"""Whole steps of ours and of PyTorch in turn: what tools/compare-with-pytorch measures."""
