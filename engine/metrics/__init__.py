"""How good a result is: measures with their definitions, for benchmarks and tests."""
