"""The chain: the only place that knows how a node is asked and how the contracts are called."""
