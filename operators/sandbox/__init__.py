"""The operators' side: their protocols over HTTP, the true state of each SIM, and faults.

An operator here is one module with a class derived from `base.SandboxOperator`, named in
`routes.py`. It imports nothing of the product: what stands in `operators.adapters` is not used here,
so that a misreading on one side is not repeated on the other.
"""
