"""Measuring a model on tickets that it was not trained on."""
