"""HTTP in, HTTP out: parse, ask routing, call upstreams, stream, count."""
