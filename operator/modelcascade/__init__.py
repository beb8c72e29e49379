"""modelcascade: one ModelCascade object declares, deploys, routes and scales a cascade of models."""
