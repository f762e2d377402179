"""What the demo and the end-to-end tests run: a small authority, the emulated Entra, real apps, and `casb` itself."""
