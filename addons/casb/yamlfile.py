"""YAML with places: a text to typed values, or every error with file, line, column and hint."""
