"""One module per family of products; `table.py` lists them all."""
