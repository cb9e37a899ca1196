"""Rebuild the escrow's books from its log, check them against the chain, and finish what is due."""
