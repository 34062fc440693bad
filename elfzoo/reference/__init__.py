"""How reference data are made: structures, DFT labels, checks. Imported by the command line only; engines lazily."""
