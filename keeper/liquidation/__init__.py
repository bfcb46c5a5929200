"""From breaches to commands: triage, priority, mechanisms, the strategy socket, limits, outbox."""
