"""Payments: from a match to a deal, from a proof to settled money, each step once."""
