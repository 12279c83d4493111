"""What the pages of the cards show: frozen dataclasses, built from reads and rules. Nothing writes."""
