"""The rim towards people: API and portal."""
