"""The models, turned into CRD schemas and reference pages, or a refusal that names the field."""
