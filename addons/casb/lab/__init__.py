"""The application-compatibility laboratory: one application opened directly and through the suffix, and compared."""
