"""A small Hub on the loopback interface, for the real client: repositories with commits, large files, and faults."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".npz")  # kept as large files (LFS)
TOKEN = "hf_of_the_tests"


@dataclass
class Repo:
    """Files by commit; the last commit of each branch."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main", gone: Sequence[str] = ()) -> str:
        before = self.commits.get(self.branches.get(branch, ""), {})
        everything = {**{name: data for name, data in before.items() if name not in gone}, **files}
        text = repr(sorted((name, hashlib.sha256(data).hexdigest()) for name, data in everything.items()))
        oid = hashlib.sha1(f"{self.branches.get(branch)}{text}".encode()).hexdigest()
        self.commits[oid] = everything
        self.branches[branch] = oid
        return oid

    def find(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)


@dataclass
class Fault:
    """What goes wrong with the next requests that fit."""

    method: str
    path: str  # regular expression
    status: int = 0  # 0: the body breaks off half way
    times: int = 10**9


class Hub:
    """The server; ``with`` it runs.

    Args:
        port: a free one.

    Attributes:
        repos: by (kind, name).
        faults: asked in order at every request.
        requests: every request so far, "METHOD path".
    """

    def __init__(self, port: int):
        self.repos: dict[tuple[str, str], Repo] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.large: dict[str, bytes] = {}
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def repo(self, name: str, kind: str = "model") -> Repo:
        if (kind, name) not in self.repos:
            self.repos[kind, name] = Repo()
            self.repos[kind, name].commit({".gitattributes": b""})  # as on the Hub, no repository is without a commit
        return self.repos[kind, name]

    def __enter__(self) -> Hub:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """The part of the Hub's interface that huggingface_hub uses for models and data sets."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self._chunked() if self.headers.get("Transfer-Encoding") == "chunked" else self.rfile.read(size)
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        fault = self._fault(path)
        if fault is not None and fault.status:
            return self._json({"error": "a fault of the test"}, fault.status)
        for pattern, method in ROUTES:
            if match := re.fullmatch(pattern, f"{self.command} {path}"):
                return method(self, body, broken=fault is not None, **match.groupdict())
        self._json({"error": f"the hub of the tests does not know {self.command} {path}"}, 418)

    def _fault(self, path: str) -> Fault | None:
        for fault in self.hub.faults:
            if fault.times > 0 and fault.method == self.command and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None

    def _chunked(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, data: bytes, status: int = 200, broken: bool = False, **headers: str) -> None:
        self.send_response(status)
        # a connection that lived on would be answered by the hub of the test before
        for key, value in {"Content-Length": str(len(data)), "Connection": "close", **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if broken else data)

    def _json(self, value: object, status: int = 200, **headers: str) -> None:
        self._send(json.dumps(value).encode(), status, Content_Type="application/json", **headers)

    def _repo(self, kind: str, name: str) -> Repo | None:
        """The repository, or None after an answer that there is none to see."""
        found = self.hub.repos.get((kind, name))
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if found is not None and (allowed or not found.private):
            return found
        status = 404 if allowed else 401  # the Hub tells strangers nothing
        self._json({"error": "Repository not found"}, status, X_Error_Code="RepoNotFound", X_Error_Message="not found")
        return None

    def _files(self, kind: str, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        repo = self._repo(kind, name)
        if repo is None:
            return None
        oid = repo.find(revision)
        if oid is None:
            self._json({"error": "Revision not found"}, 404, X_Error_Code="RevisionNotFound", X_Error_Message="none")
            return None
        return oid, repo.commits[oid]

    def resolve(self, _: bytes, broken: bool, kind: str | None, name: str, revision: str, file: str) -> None:
        found = self._files("dataset" if kind else "model", name, revision)
        if found is None:
            return
        oid, files = found
        if file not in files:
            facts = {"X_Error_Code": "EntryNotFound", "X_Error_Message": "none", "X_Repo_Commit": oid}
            return self._json({"error": "Entry not found"}, 404, **facts)
        data = files[file]
        sha = hashlib.sha256(data).hexdigest() if file.endswith(LARGE) else hashlib.sha1(data).hexdigest()
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        part = data[int(start[1]) :] if start else data
        self._send(part, 206 if start else 200, broken, ETag=f'"{sha}"', X_Repo_Commit=oid, Accept_Ranges="bytes")

    def info(self, _: bytes, broken: bool, kind: str, name: str, revision: str | None = None) -> None:
        found = self._files(kind, name, revision or "main")
        if found is not None:
            oid, files = found
            siblings = [{"rfilename": file} for file in files]
            self._json({"id": name, "sha": oid, "siblings": siblings, "tags": [], "private": False})

    def tree(self, _: bytes, broken: bool, kind: str, name: str, revision: str) -> None:
        found = self._files(kind, name, revision)
        if found is not None:
            self._json([_entry(file, data) for file, data in found[1].items()])

    def create(self, body: bytes, broken: bool) -> None:
        wanted = json.loads(body)
        key = (wanted.get("type") or "model", f"{wanted['organization']}/{wanted['name']}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json({"error": "Invalid credentials"}, 401)
        known = key in self.hub.repos
        self.hub.repo(key[1], key[0]).private |= bool(wanted.get("private") or wanted.get("visibility") == "private")
        self._json({"url": f"{self.hub.url}/{key[1]}", "id": key[1]}, 409 if known else 200)

    def branch(self, body: bytes, broken: bool, kind: str, name: str, branch: str) -> None:
        repo = self.hub.repo(name, kind)
        repo.branches[branch] = repo.branches["main"]
        self._json({})

    def whoami(self, _: bytes, broken: bool) -> None:
        self._json({"name": "tester", "orgs": []})

    def valid(self, body: bytes, broken: bool) -> None:
        self._json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, broken: bool, kind: str, name: str, revision: str) -> None:
        modes = [
            {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular", "shouldIgnore": False}
            for f in json.loads(body)["files"]
        ]
        self._json({"files": modes})

    def batch(self, body: bytes, broken: bool, kind: str | None, name: str) -> None:
        objects = [
            {**wanted, "actions": {"upload": {"href": f"{self.hub.url}/large/{wanted['oid']}"}}}
            for wanted in json.loads(body)["objects"]
        ]
        self._json({"objects": objects, "transfer": "basic"})

    def upload(self, body: bytes, broken: bool, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.large[oid] = body
        self._json({})

    def commit(self, body: bytes, broken: bool, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name)
        if repo is None:
            return
        lines = [json.loads(line) for line in body.splitlines()]
        parent = lines[0]["value"].get("parentCommit")
        if parent not in (None, repo.branches[revision]):
            return self._json({"error": "A commit has happened since"}, 412)
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            if line["key"] == "file"
            else self.hub.large[line["value"]["oid"]]
            for line in lines[1:]
            if line["key"] != "deletedFile"
        }
        gone = [line["value"]["path"] for line in lines[1:] if line["key"] == "deletedFile"]
        oid = repo.commit(files, revision, gone)
        facts = {"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid, "success": True}
        self._json(facts)


def _entry(path: str, data: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
    if path.endswith(LARGE):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return entry


NAME, API = r"(?P<name>[\w.-]+/[\w.-]+)", r"/api/(?P<kind>model|dataset)s/"
ROUTES = [
    (rf"(?:GET|HEAD) /(?P<kind>datasets/)?{NAME}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", _Handler.resolve),
    (rf"GET {API}{NAME}", _Handler.info),
    (rf"GET {API}{NAME}/revision/(?P<revision>[^/]+)", _Handler.info),
    (rf"GET {API}{NAME}/tree/(?P<revision>[^/]+)/?", _Handler.tree),
    (r"POST /api/repos/create", _Handler.create),
    (rf"POST {API}{NAME}/branch/(?P<branch>[^/]+)", _Handler.branch),
    (r"GET /api/whoami-v2", _Handler.whoami),
    (r"POST /api/validate-yaml", _Handler.valid),
    (rf"POST {API}{NAME}/preupload/(?P<revision>[^/]+)", _Handler.preupload),
    (rf"POST /(?P<kind>datasets/)?{NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    (r"PUT /large/(?P<oid>\w+)", _Handler.upload),
    (rf"POST {API}{NAME}/commit/(?P<revision>[^/]+)", _Handler.commit),
]
