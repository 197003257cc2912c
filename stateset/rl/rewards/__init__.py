"""Reward functions: how they are called, scored with a time limit, and the ready-made ones."""
