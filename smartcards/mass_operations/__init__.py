"""Work on many cards at once: listed and judged, confirmed by a person, done by a worker, repeated or taken back."""
