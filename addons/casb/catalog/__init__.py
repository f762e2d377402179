"""Which app, which activity: hosts to apps, exchanges to activities, addresses to ranges."""
