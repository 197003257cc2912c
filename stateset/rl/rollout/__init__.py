"""Sampling responses: the engine protocol, the native engine, and `Model`, which users hold."""
