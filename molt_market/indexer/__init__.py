"""What the chain's log comes to: every deal as it stands, exactly, whatever nodes and reorganisations do."""
