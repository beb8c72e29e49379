"""Given what was observed and decided before, how many replicas each tier should have now, and why."""
