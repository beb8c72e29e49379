"""The exact objects that should exist for a cascade, and how they differ from those that do."""
