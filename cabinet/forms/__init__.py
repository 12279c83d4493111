"""Forms clean what people type and never save. `fields` has the Russian kinds of fields."""
