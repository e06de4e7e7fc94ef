"""A stand-in for the model hub on the loopback: the calls of an upload and of a download, kept in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + 34 * "0"


@dataclass
class Hub:
    """What the server holds: its address, the files of each repository, the large objects, and who is private.

    Names in ``gated`` are shown, and their files only to those who were let in, which nobody was. A repository has the
    revisions main and :data:`COMMIT`.
    """

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A running server. ``.safetensors`` take the way of large files (Git LFS), all others travel in the commit."""
    hub = Hub()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, value: object, code: int = 200, **headers: str) -> None:
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(code)
            for name, text in headers.items():
                self.send_header(name.replace("_", "-"), text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def do_POST(self) -> None:
            path, body = urlsplit(self.path).path, self.body()
            if path == "/api/repos/create":
                asked = json.loads(body)
                name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
                hub.files.setdefault(name, {})
                hub.private[name] = bool(asked.get("private") or asked.get("visibility") == "private")
                self.answer({"url": f"{hub.address}/{name}", "name": name})
            elif path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif "/preupload/" in path:
                self.answer({"files": [self.mode(file["path"]) for file in json.loads(body)["files"]]})
            elif path.endswith("/info/lfs/objects/batch"):
                self.answer(
                    {"objects": [self.upload(each) for each in json.loads(body)["objects"]], "transfer": "basic"}
                )
            elif found := re.fullmatch(r"/api/models/(.+)/commit/.+", path):
                self.commit(unquote(found[1]), [json.loads(line) for line in body.splitlines()])
            else:
                self.answer({"error": f"no {path}"}, 404)

        def mode(self, path: str) -> dict[str, object]:
            large = path.endswith(".safetensors")
            return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": None}

        def upload(self, asked: dict[str, object]) -> dict[str, object]:
            return {**asked, "actions": {"upload": {"href": f"{hub.address}/lfs/{asked['oid']}", "header": {}}}}

        def commit(self, name: str, lines: list[dict[str, dict[str, str]]]) -> None:
            files = hub.files[name]
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = hub.objects[value["oid"]]
            self.answer({"success": True, "commitOid": COMMIT, "commitUrl": f"{hub.address}/{name}/commit/{COMMIT}"})

        def do_PUT(self) -> None:
            body = self.body()
            oid = hashlib.sha256(body).hexdigest()
            hub.objects[oid] = body
            self.answer({}, 200 if self.path.endswith(oid) else 400)

        def is_refused(self, path: str) -> bool:
            named = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/]+?)(?:/(?:tree|revision|resolve)/([^/]+).*)?", path)
            if named is None or named[1] not in hub.files:
                return False
            if (named[2] or "main") not in ("main", COMMIT):
                self.answer({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
            elif named[1] in hub.gated:
                said = {"error": f"Access to model {named[1]} is restricted. You must have access to it."}
                self.answer(said, 403, X_Error_Code="GatedRepo")
            else:
                return False
            return True

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if self.is_refused(path):
                return
            if found := re.fullmatch(r"/api/models/(.+?)/tree/.+", path):
                files = hub.files[found[1]]
                self.answer([{"type": "file", "path": name, "size": len(files[name]), "oid": name} for name in files])
            elif found := re.fullmatch(r"/api/models/(.+?)(/revision/.+)?", path):
                name = found[1]
                if name not in hub.files:
                    self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
                    return
                self.answer(
                    {
                        "id": name,
                        "modelId": name,
                        "sha": COMMIT,
                        "siblings": [{"rfilename": f, "size": len(content)} for f, content in hub.files[name].items()],
                    }
                )
            elif found := re.fullmatch(r"/(.+?)/resolve/[^/]+/(.+)", path):
                content = hub.files.get(found[1], {}).get(found[2])
                if content is None:
                    self.answer({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
                    return
                etag = hashlib.sha256(content).hexdigest()
                self.answer(content, X_Repo_Commit=COMMIT, ETag=f'"{etag}"')
            else:
                self.answer({"error": f"no {path}"}, 404)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
