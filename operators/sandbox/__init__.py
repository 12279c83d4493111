"""The operators' side, played: their wire protocols, the true state of each SIM, and misbehaviour.

An operator here is one module with a class derived from `protocol.PlayedOperator`, named in
`part.py`. It knows nothing of the product: what stands in `operators.adapters` is not used here, so
that a misreading on one side is not repeated on the other.
"""
