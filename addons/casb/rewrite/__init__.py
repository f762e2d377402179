"""Keep the session in the proxy: host names in headers and bodies, both ways."""
