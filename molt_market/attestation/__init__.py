"""From what a machine logs to what moves the money: usage log, receipt, attestors' signatures, verdict."""
