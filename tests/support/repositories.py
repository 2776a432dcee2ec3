"""Git repositories as others have them, and the servers that give them out: all by git itself."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from support import tls
from support.cli import write_files

_SOMEBODY = {
    **{
        f"GIT_{who}_{what}": f"{who}@example.com"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
    "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(folder: Path, *words: str) -> str:
    """Run git in `folder`; what it printed."""
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *words],
        cwd=folder,
        env=os.environ | _SOMEBODY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


class Work:
    """A work folder, and the bare repository `bare` that it is pushed to with each commit."""

    def __init__(self, folder: Path, *init: str) -> None:
        self.folder = folder
        self.bare = folder.with_suffix(".git")
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", "main", *init)
        git(folder.parent, "init", "-q", "-b", "main", "--bare", *init, str(self.bare))
        # As the services do: any commit by its hash.
        git(self.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        git(folder, "remote", "add", "origin", str(self.bare))

    def commit(self, files: Mapping[str, str | bytes], *also: Callable[[Path], object]) -> str:
        """Write the files, let `also` do more to the folder, commit and push; the commit's hash."""
        write_files(self.folder, files)
        for do in also:
            do(self.folder)
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "--allow-empty", "-m", "more")
        self.push()
        return git(self.folder, "rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        return git(self.folder, *words)

    def push(self) -> None:
        git(self.folder, "push", "-q", "--all", "-f", "origin")
        git(self.folder, "push", "-q", "--tags", "-f", "origin")
        git(self.bare, "update-server-info")

    @property
    def url(self) -> str:
        return f"file://{self.bare}"


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[str]:
    """A server on loopback as long as the context lasts; its `http://127.0.0.1:port`.

    With a certificate it is `https://localhost:port`.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    place = "http://127.0.0.1"
    if certificate:
        server.socket = tls.context(certificate).wrap_socket(server.socket, server_side=True)
        place = "https://localhost"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"{place}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def backend(root: Path, account: str = "", asked: list[str] | None = None) -> type[BaseHTTPRequestHandler]:
    """Serves the repositories below `root` by git-http-backend, to `account` (`user:password`) alone.

    `asked` gets a line for each request: method and path.
    """
    expected = f"Basic {base64.b64encode(account.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if asked is not None:
                asked.append(f"{self.command} {self.path}")
            if account and self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.relay(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        do_GET = do_POST = answer

        def relay(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            environment = {
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                # The repositories may be of another user than the server.
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
            }
            done = subprocess.run(
                ["git", "http-backend"], env=environment, input=body, capture_output=True, check=False
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def files_of(root: Path) -> type[BaseHTTPRequestHandler]:
    """Serves the files below `root` and knows nothing of git ("dumb" in git's words)."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *words: object, **more: object) -> None:
            super().__init__(*words, directory=str(root), **more)  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def fake_ssh(folder: Path) -> Path:
    """A folder for PATH whose `ssh` runs what is asked for on this machine, and writes its words to `log`."""
    folder.mkdir()
    script = folder / "ssh"
    script.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >>{folder}/log\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    script.chmod(0o755)
    return folder
