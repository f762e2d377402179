"""The language server of VS Code's YAML extension, driven over its standard streams as an editor does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

SERVER = Path(__file__).parent / "editor/node_modules/.bin/yaml-language-server"


class LanguageServer:
    """One server process. Speaks the base protocol of the Language Server Protocol 3.17: headers, then JSON."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [SERVER, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder
        )
        self._next = 0
        self.diagnostics: dict[str, list[dict[str, Any]]] = {}
        settings = {"yaml": {"validate": True, "completion": True, "hover": True, "schemaStore": {"enable": False}}}
        self._settings = settings["yaml"]
        self.ask(
            "initialize",
            {
                "processId": None,
                "rootUri": folder.as_uri(),
                "capabilities": {"textDocument": {"completion": {"completionItem": {"snippetSupport": True}}}},
                "workspaceFolders": [{"uri": folder.as_uri(), "name": "policies"}],
            },
        )
        self.tell("initialized", {})
        self.tell("workspace/didChangeConfiguration", {"settings": settings})

    def open(self, path: Path) -> list[dict[str, Any]]:
        """Open a file; what is wrong in it."""
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": path.read_text()}
        self.diagnostics.pop(path.as_uri(), None)
        self.tell("textDocument/didOpen", {"textDocument": document})
        while path.as_uri() not in self.diagnostics:
            self._take(self._read())
        return self.diagnostics[path.as_uri()]

    def complete(self, path: Path, line: int, column: int) -> list[dict[str, Any]]:
        """What the editor offers at a place (both counted from 0)."""
        place = {"textDocument": {"uri": path.as_uri()}, "position": {"line": line, "character": column}}
        answer = self.ask("textDocument/completion", place)
        found: list[dict[str, Any]] = answer["items"] if isinstance(answer, dict) else answer or []
        return found

    def hover(self, path: Path, line: int, column: int) -> str:
        """What the editor shows when pointing there."""
        place = {"textDocument": {"uri": path.as_uri()}, "position": {"line": line, "character": column}}
        answer = self.ask("textDocument/hover", place)
        contents = answer["contents"] if answer else ""
        return str(contents["value"] if isinstance(contents, dict) else contents)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def ask(self, method: str, params: Any) -> Any:
        self._next += 1
        number = self._next
        self._write({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        while True:
            message = self._read()
            if message.get("id") == number and "method" not in message:
                return message.get("result")
            self._take(message)

    def tell(self, method: str, params: Any) -> None:
        self._write({"jsonrpc": "2.0", "method": method, "params": params})

    def _take(self, message: dict[str, Any]) -> None:
        """What the server says or asks of itself."""
        if message.get("method") == "textDocument/publishDiagnostics":
            self.diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "id" in message and "method" in message:
            asked = message["method"] == "workspace/configuration"
            result = (
                [self._settings if item.get("section") == "yaml" else None for item in message["params"]["items"]]
                if asked
                else None
            )
            self._write({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _write(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        stream = self._process.stdout
        assert stream is not None
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the language server has ended"
        message: dict[str, Any] = json.loads(stream.read(length))
        return message
