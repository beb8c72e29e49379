"""A load, an engine model and a policy, run through the decisions in simulated time."""
