"""Pure values: they know no chain and read no file but the catalogue of GPU models."""
