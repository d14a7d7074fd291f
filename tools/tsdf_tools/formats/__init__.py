"""The formats in which weights are published, read without executing anything: {name: (shape, little-endian float32 bytes)}.

Needs Python 3.8, no more: no NumPy, no PyTorch.
"""
