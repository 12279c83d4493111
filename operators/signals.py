"""The one way up from the operators: a contract's keys are in order."""

from django.dispatch import Signal

# Sent by `operators.services` with `account_id`, `by` and `at` (UTC), where staff typed the keys anew
# and where the operator has just let us in.
keys_in_order = Signal()
