"""Papers of an order as PDF: pure functions from what is frozen in the document's row."""
