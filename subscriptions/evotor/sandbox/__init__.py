"""The market: a store page, hooks with their repeats, dunning, the cloud API. Not the product."""
