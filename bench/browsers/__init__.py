"""The main journey in every engine that merchants may have, old terminals included."""
