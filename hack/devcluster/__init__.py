"""The local development cluster and its images; standard library only, so that it runs before any set-up."""
