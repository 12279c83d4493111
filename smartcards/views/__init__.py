"""Pages of the cards: from a request to a service, and from a read to a page."""
