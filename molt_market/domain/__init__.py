"""Pure values: no clock, no chain, no files but the model catalogue."""
