"""The rim towards mitmproxy."""

from casb.proxy.imports import skip_default_addons

skip_default_addons()
