"""One file per engine: what its command line and probes look like."""
