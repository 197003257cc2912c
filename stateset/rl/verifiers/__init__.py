"""Right-or-wrong checks of an answer."""
