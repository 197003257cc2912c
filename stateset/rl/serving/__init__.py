"""From a trained model to the one in production: registry, model card, self-test, deployment."""
