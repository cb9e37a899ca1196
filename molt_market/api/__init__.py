"""The market's server: HTTP and the live feed over one Market. It holds no user's key."""
