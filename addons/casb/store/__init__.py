"""Records and sessions, kept."""
