"""The one way up from the subscriptions: somebody's entitlement may have changed."""

from django.dispatch import Signal

# Sent by `subscriptions.services` inside its transaction, with `merchant_id` and `at`.
# Receivers only wake a task after commit: a bad card never undoes a paid subscription.
entitlement_changed = Signal()
