"""Real nodes of all networks on this machine, with throw-away data."""
