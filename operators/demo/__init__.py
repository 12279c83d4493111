"""Demo data of the operators: contracts with the simulated ones, and the cards that both sides know."""
