"""Hand it over changed: encryption that opens again for the person entitled to it."""
