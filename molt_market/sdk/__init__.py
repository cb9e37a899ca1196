"""What buyers, providers and attestors work with. It trusts its deployment and the chain, not the server."""
