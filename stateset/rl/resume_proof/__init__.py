"""Does a run that was killed and resumed end like one that never stopped? Tried, and compared bit by bit."""
