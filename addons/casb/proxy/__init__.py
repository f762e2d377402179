"""The rim towards mitmproxy."""
