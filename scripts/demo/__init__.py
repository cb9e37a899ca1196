"""`make demo`: a whole market on a local chain, in one command."""
