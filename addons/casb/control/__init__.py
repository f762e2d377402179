"""The crafts put together, still without I/O: snapshot, exchange, pages, replay."""
