"""The signals of the operators for the apps above."""

from django.dispatch import Signal

# Sent with `account_id`, `by` and `at` (UTC) where staff typed the keys anew (`operators.services`) and where
# the operator has just accepted them (`operators.connections`).
keys_in_order = Signal()
