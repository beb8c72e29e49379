"""When to act: events, queue, resync, probes."""
