"""What a run leaves behind and shows: its directory, the terminal, warnings, and adapters to trackers."""
