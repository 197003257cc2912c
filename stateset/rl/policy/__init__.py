"""All that touches weights: loading, the shared-prefix forward, log-probabilities, batches, the optimizer."""
