"""An attestor's process: it asks the gateways of deals at times that nobody knows, and judges receipts."""
