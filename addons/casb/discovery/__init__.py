"""Shadow IT: logs of egress traffic to events, events to discovered apps."""
