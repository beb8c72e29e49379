"""The only room that speaks to the API server; every write passes one gate."""
