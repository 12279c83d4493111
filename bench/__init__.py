"""Repeatable benchmarks of the dispatcher: `make bench`. Figures are ratios of one run on one machine."""
