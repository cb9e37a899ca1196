"""The provider's side of a deal: the gateway that runs jobs, logs usage, answers pings and gets paid."""
