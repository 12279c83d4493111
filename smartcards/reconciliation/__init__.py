"""Target against confirmed state: reconcile, coverage, discrepancies and what staff do about them."""
