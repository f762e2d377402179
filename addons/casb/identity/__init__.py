"""Who, on which device: tokens, claims, sessions."""
