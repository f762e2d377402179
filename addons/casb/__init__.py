"""casb: an open, self-hosted cloud access security broker."""

__version__ = "0.1.0"
