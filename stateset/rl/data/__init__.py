"""Rows into tasks, and the order in which training sees them."""
