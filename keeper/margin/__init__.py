"""Arrays in, arrays out: pricing, scenarios, revaluation, netting, requirement."""
