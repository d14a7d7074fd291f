"""The networks in PyTorch, as functions of official parameter names: what Sources/Networks is checked against.

`declare_MODEL` lists the parameters in the order in which Swift draws fresh ones, `run_MODEL` computes
outputs and features as `tsdf forward` writes them.
"""
