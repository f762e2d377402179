"""Other people's services: identity providers and their signing keys."""
