"""nginx twice: the origin that all proxies stand in front of, and a proxy to compare with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from demo_lib.pki import DemoAuthority, Leaf
from demo_lib.processes import Child, StartError, listening

ORIGIN = "files.example"


def hosts(count: int = 100) -> list[str]:
    """The names of an app with many hosts, its main one first."""
    return [ORIGIN, *(f"part{number}.static.example" for number in range(1, count))]


def contents(folder: Path, megabytes: int) -> None:
    """What the origin serves: 1 KB of JSON, 50 KB of HTML that names all hosts, and large files."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [{"id": number, "name": f"entry {number}", "size": number * 4096} for number in range(100)]
    small: list[dict[str, object]] = []
    while len(json.dumps(small)) < 1000:
        small.append(entries[len(small)])
    (folder / "small.json").write_text(json.dumps(small))
    (folder / "page.html").write_text(_page(50_000))
    for name in ("large.bin", "secret.bin"):
        with (folder / name).open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(1_000_000))


def _page(size: int) -> str:
    """A page as applications write them: relative links, text, and each of the app's hosts once."""
    parts = ['<!doctype html><html><head><meta charset="utf-8"><title>Files</title></head><body>']
    names = hosts()
    text = "lorem ipsum dolor " * ((size // len(names) - 150) // 18)
    for number, host in enumerate(names):
        parts.append(f'<p class="row"><a href="/item/{number}?view=full">Item {number}</a> {text}')
        parts.append(f'<img src="https://{host}/thumb/{number}.png" alt="" width="64" height="64"></p>\n')
    parts.append(f"<!-- {'x' * (size - sum(map(len, parts)))} --></body></html>")
    return "".join(parts)


_SERVER = """
worker_processes 1;
daemon off;
{user}
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  types {{ text/html html; application/json json; }}
  default_type application/octet-stream;
  {upstream}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    http2_max_requests 1000000000;
    ssl_certificate {leaf.certificate};
    ssl_certificate_key {leaf.key};
    location / {{ {location} }}
  }}
}}
"""

_FORWARDING = """
      proxy_pass https://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host {name};
      proxy_ssl_name {name};
      proxy_ssl_server_name on;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {ca};
      proxy_max_temp_file_size 0;
"""


def _nginx(name: str, folder: Path, port: int, leaf: Leaf, *, location: str, upstream: str = "") -> Child:
    folder.mkdir(parents=True, exist_ok=True)
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        raise StartError("nginx is not installed")
    user = "user root;" if os.geteuid() == 0 else ""  # otherwise its worker may not read our folder
    text = _SERVER.format(folder=folder, port=port, leaf=leaf, location=location, upstream=upstream, user=user)
    (folder / "nginx.conf").write_text(text)
    command: Sequence[str] = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "stderr"]
    return Child(name, command, folder / "log").wait_until(lambda: listening(port))


def origin(folder: Path, port: int, authority: DemoAuthority, megabytes: int) -> Child:
    """The application: static files over TLS, HTTP/1.1 and HTTP/2."""
    contents(folder / "www", megabytes)
    leaf = authority.leaf("origin", [*hosts(), "127.0.0.1"])
    return _nginx("origin", folder, port, leaf, location=f"root {folder}/www;")


def plain_proxy(folder: Path, port: int, authority: DemoAuthority, origin_port: int) -> Child:
    """nginx as a reverse proxy, TLS on both sides, connections to the origin kept."""
    pool = f"upstream origin {{ server 127.0.0.1:{origin_port}; keepalive 64; keepalive_requests 1000000000; }}"
    location = _FORWARDING.format(name=ORIGIN, ca=authority.certificate_path)
    return _nginx("nginx", folder, port, authority.leaf("nginx", [ORIGIN]), location=location, upstream=pool)
