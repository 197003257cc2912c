"""Settings: read, checked, explained. Imports nothing of the user's and no torch."""
