"""Which resource of a cloud platform a host or URL names: a bucket, a storage account, a web app (D28).

A resource is written `kind:name`. Sources: the providers' documentation of their endpoint names.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

LONGEST = 255  # characters of a name: what the providers allow is shorter

_HOSTS: tuple[tuple[str, str], ...] = (
    # AWS S3, virtual-hosted and website endpoints; the region may be absent.
    (r"(?P<name>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.s3(?:[.-][a-z0-9]+)*\.amazonaws\.com(?:\.cn)?", "bucket"),
    (r"(?P<name>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.s3-website[.-][a-z0-9-]+\.amazonaws\.com(?:\.cn)?", "bucket"),
    (r"(?P<name>[a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com", "api"),
    (r"(?P<name>[a-z0-9-]+)\.(?:[a-z0-9-]+\.)?elasticbeanstalk\.com", "web-app"),
    (r"(?P<name>[a-z0-9]+)\.cloudfront\.net", "distribution"),
    (r"(?P<name>[a-z0-9-]+)\.[a-z0-9]+\.[a-z0-9-]+\.rds\.amazonaws\.com", "database"),
    # Azure
    (r"(?P<name>[a-z0-9]{3,24})\.(?:blob|file|queue|table|dfs|web|z\d+\.web)\.core\.windows\.net", "storage-account"),
    (r"(?P<name>[a-z0-9-]+)\.(?:scm\.)?azurewebsites\.net", "web-app"),
    (r"(?P<name>[a-z0-9-]+)\.vault\.azure\.net", "key-vault"),
    (r"(?P<name>[a-z0-9-]+)\.database\.windows\.net", "database"),
    (r"(?P<name>[a-z0-9-]+)\.azurecr\.io", "registry"),
    (r"(?P<name>[a-z0-9-]+)\.[a-z0-9-]+\.cloudapp\.azure\.com", "virtual-machine"),
    # Google Cloud
    (r"(?P<name>[a-z0-9][a-z0-9._-]{1,61})\.storage\.googleapis\.com", "bucket"),
    (r"(?P<name>[a-z0-9-]+)\.(?:[a-z0-9-]+\.r\.)?appspot\.com", "web-app"),
    (r"(?P<name>[a-z0-9-]+)\.(?:a|[a-z0-9-]+)\.run\.app", "web-app"),
    (r"[a-z0-9-]+-(?P<name>[a-z][a-z0-9-]+)\.cloudfunctions\.net", "function-project"),
    (r"(?P<name>[a-z0-9-]+)\.(?:firebaseio\.com|firebaseapp\.com|web\.app)", "web-app"),
    # Others
    (r"(?P<name>[a-z0-9-]+)\.herokuapp\.com", "web-app"),
    (r"(?P<name>[a-z0-9.-]+)\.[a-z0-9-]+\.digitaloceanspaces\.com", "bucket"),
    (r"(?P<name>[a-z0-9.-]+)\.r2\.cloudflarestorage\.com", "storage-account"),
    (r"(?P<name>[a-z0-9.-]+)\.(?:s3\.)?[a-z0-9-]+\.backblazeb2\.com", "bucket"),
    (r"(?P<name>[a-z0-9.-]+)\.s3\.[a-z0-9.-]*wasabisys\.com", "bucket"),
    (r"(?P<name>[a-z0-9-]+)\.compat\.objectstorage\.[a-z0-9-]+\.oraclecloud\.com", "bucket"),
    (r"(?P<name>[a-z0-9-]+)\.snowflakecomputing\.com", "account"),
)
_PATHS: tuple[tuple[str, str], ...] = (
    (r"s3(?:[.-][a-z0-9]+)*\.amazonaws\.com(?:\.cn)?", "bucket"),
    (r"storage\.(?:cloud\.google|googleapis)\.com", "bucket"),
    (r"s3\.[a-z0-9.-]*wasabisys\.com", "bucket"),
)
_CLOUDS = re.compile(
    r"(?:amazonaws\.com(?:\.cn)?|cloudfront\.net|elasticbeanstalk\.com|windows\.net|azurewebsites\.net|azure\.net|"
    r"azurecr\.io|azure\.com|googleapis\.com|cloud\.google\.com|appspot\.com|run\.app|cloudfunctions\.net|"
    r"firebaseio\.com|firebaseapp\.com|web\.app|herokuapp\.com|digitaloceanspaces\.com|cloudflarestorage\.com|"
    r"backblazeb2\.com|wasabisys\.com|oraclecloud\.com|snowflakecomputing\.com)\Z"
)
_BY_HOST = tuple((re.compile(pattern + r"\Z"), kind) for pattern, kind in _HOSTS)
_BY_PATH = tuple((re.compile(pattern + r"\Z"), kind) for pattern, kind in _PATHS)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}\Z")
_CONSOLE = frozenset({"www", "console", "portal", "api", "login"})


def resource_of(app: str, host: str | None, url: str | None) -> str | None:
    """`bucket:invoices` and the like, or None for what is no resource. `app` is the id of the app that owns the host.

    >>> resource_of("aws", "invoices.s3.eu-west-1.amazonaws.com", None)
    'bucket:invoices'
    >>> resource_of("aws", "s3.amazonaws.com", "https://s3.amazonaws.com/invoices/2026/a.pdf")
    'bucket:invoices'
    """
    if host is None:
        return None
    by_host, by_path = _of_host(host)
    if by_host is not None or by_path is None or url is None:
        return by_host
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    name = path.lstrip("/").partition("/")[0]
    return f"{by_path}:{name}" if _BUCKET.match(name) else None


@lru_cache(maxsize=20_000)
def _of_host(host: str) -> tuple[str | None, str | None]:
    """The resource that the host alone names, and the kind of resource that its paths name."""
    if len(host) > LONGEST or not _CLOUDS.search(host):
        return None, None
    for pattern, kind in _BY_PATH:
        if pattern.match(host):
            return None, kind
    for pattern, kind in _BY_HOST:
        found = pattern.match(host)
        if found and found["name"] not in _CONSOLE:
            return f"{kind}:{found['name']}", None
    return None, None
