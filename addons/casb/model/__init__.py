"""Facts and decisions: frozen dataclasses, standard library only. Times are aware UTC, sizes bytes."""
