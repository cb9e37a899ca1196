"""What a party or the operator has to know by now, found in the facts and brought by webhooks."""
