"""`scripts/bench`: what session control costs, measured beside plain mitmproxy and nginx."""
