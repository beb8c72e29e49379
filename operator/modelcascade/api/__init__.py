"""The words of the product: spec, status, conditions, reasons, documents, metric names; no decisions."""
