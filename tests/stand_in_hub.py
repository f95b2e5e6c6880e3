"""A stand-in for the Hugging Face hub on this machine: it breaks lines, lies, refuses, and counts what it sent."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """Files by path, and how badly the server behaves."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.told_sha256: dict[str, str] = {}
        """Path to a sha256 that is told instead of the true one."""
        self.break_after: list[int] = []
        """Bytes after which the line is cut: one entry per answer, then no more."""
        self.answers: list[int] = []
        """Status codes given instead of a file: one entry per request, then no more."""
        self.retry_after = "0"
        self.knows_ranges = True
        self.on_hub = True
        """Point to a second address with size and sha256 in the headers, as the hub does for large files."""
        self.requests: list[tuple[str, str, str | None, str | None]] = []
        """Method, path, Range, Authorization."""
        self.sent = 0


@contextmanager
def serving():
    """Run the stand-in; yields (hub, address)."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, *, body):
            path = self.path.split("?")[0]
            hub.requests.append((self.command, path, self.headers["Range"], self.headers["Authorization"]))
            if hub.answers:
                self.send_response(hub.answers.pop(0))
                self.send_header("Retry-After", hub.retry_after)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = hub.files.get(path.removeprefix("/cdn"))
            if data is None:
                self.send_error(404)
                return
            if hub.on_hub and not path.startswith("/cdn"):
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{self.server.server_port}/cdn{path}?signed=1")
                self.send_header("X-Linked-Size", str(len(data)))
                told = hub.told_sha256.get(path) or hashlib.sha256(data).hexdigest()
                self.send_header("X-Linked-Etag", f'"{told}"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_file(data, body)

        def send_file(self, data, body):
            start = 0
            wanted = self.headers["Range"]
            if wanted and hub.knows_ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(data):
                    self.send_error(416)
                    return
                self.send_response(206)
            else:
                self.send_response(200)
            part = data[start:]
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if body:
                cut = hub.break_after.pop(0) if hub.break_after else len(part)
                self.wfile.write(part[:cut])
                hub.sent += len(part[:cut])
                if cut < len(part):
                    self.close_connection = True
                    self.wfile.flush()
                    self.connection.close()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
