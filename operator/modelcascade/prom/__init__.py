"""The only room that speaks to Prometheus."""
