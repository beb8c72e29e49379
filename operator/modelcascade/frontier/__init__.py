"""The external APIs of one cascade, each behind its own key."""
