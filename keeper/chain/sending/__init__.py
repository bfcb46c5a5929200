"""From a command to included bytes: lanes, fees, one writer, receipts, recovery."""
