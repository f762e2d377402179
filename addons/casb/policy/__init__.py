"""What may happen: YAML policies, their conditions, and the decision."""
