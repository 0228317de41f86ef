"""One connection to the daemon: a case's steps are played on it, and what comes back is judged."""
import json
import re
import select
import socket
import time

# What no client may read in an answer: words of the language and of the libraries that the daemon is made of.
INTERNAL = re.compile(rb"Swift\.|Optional\(|\bNIO[A-Z]|DecodingError|EncodingError|CodingKey|SwarmError|APIError|HTTPParserError|CancellationError|Foundation|"
                      rb"keyNotFound|dataCorrupted|typeMismatch|SystemCallError|RPCError|GRPCCore|\bnil\b|0x[0-9a-f]{9}")


class Answers:
    """Cuts a byte stream into HTTP answers."""

    def __init__(self, methods):
        self.methods, self.rest, self.done, self.head, self.body, self.raw = list(methods), b"", [], None, b"", False
        self.fault = None

    def feed(self, data):
        self.rest += data
        while self.fault is None and self._step():
            pass

    def _step(self):
        if self.raw:
            self.body += self.rest[:1 << 16]
            self.rest = b""
            return False
        if self.head is None:
            end = self.rest.find(b"\r\n\r\n")
            if end < 0:
                if self.rest and not b"HTTP/1.1 ".startswith(self.rest[:9]) and not self.rest.startswith(b"HTTP/1.1 "):
                    self.fault = "the answer is not HTTP/1.1"
                return False
            lines = self.rest[:end].split(b"\r\n")
            self.rest = self.rest[end + 4:]
            match = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [^\x00-\x1f]*", lines[0])
            if not match:
                self.fault = f"the status line is {lines[0][:80]!r}"
                return False
            fields = {}
            for line in lines[1:]:
                name, colon, value = line.partition(b": ")
                if not colon or not re.fullmatch(rb"[A-Za-z0-9-]+", name) or any(byte < 0x20 for byte in value):
                    self.fault = f"a header is {line[:80]!r}"
                    return False
                if name.lower() in fields and name.lower() != b"connection":
                    self.fault = f"the header {name.decode()} comes twice"
                    return False
                fields[name.lower()] = value
            status = int(match[1])
            if status == 100:
                return True
            self.head, self.body = (status, fields), b""
            if status == 101 or (b"stream" in fields.get(b"content-type", b"") and b"content-length" not in fields and b"transfer-encoding" not in fields):
                self.raw = True
                return True
        status, fields = self.head
        method = self.methods[len(self.done)] if len(self.done) < len(self.methods) else "GET"
        # Bytes that are no request are refused with words, whatever method they seem to begin with.
        unread = status == 400 and fields.get(b"content-type", b"").startswith(b"text/plain")
        if method == "HEAD" and not unread or status in (204, 304):
            return self._end()
        if b"content-length" in fields:
            missing = int(fields[b"content-length"]) - len(self.body)
            self.body += self.rest[:missing]
            self.rest = self.rest[missing:]
            return self._end() if len(self.body) == int(fields[b"content-length"]) else False
        if fields.get(b"transfer-encoding") == b"chunked":
            line, found, after = self.rest.partition(b"\r\n")
            if not found:
                return False
            try:
                size = int(line, 16)
            except ValueError:
                self.fault = f"a chunk's size is {line[:40]!r}"
                return False
            if len(after) < size + 2:
                return False
            self.body += after[:size] if len(self.body) < 1 << 20 else b""
            self.rest = after[size + 2:]
            return self._end() if size == 0 else True
        self.raw = True  # up to the connection's end
        return True

    def _end(self):
        self.done.append((*self.head, self.body))
        self.head = None
        return bool(self.rest)

    def finish(self):
        """The connection is closed: what was under way ends with it."""
        if self.head and self.raw:
            self.done.append((*self.head, self.body))
            self.head = None


def judged(answers, case):
    """What is wrong with the answers, or None."""
    if answers.fault:
        return answers.fault
    for status, fields, body in answers.done:
        kind = fields.get(b"content-type", b"")
        if status >= 400 and INTERNAL.search(body):
            return f"status {status} with words of our own: {body[:300].decode('utf-8', 'replace')}"
        if kind == b"application/json" and b"content-length" in fields and body:
            try:
                for line in body.decode().splitlines() if case.get("lines") else [body.decode()]:
                    json.loads(line)
            except ValueError as error:
                return f"status {status} with a body that is no JSON ({error}): {body[:300]!r}"
            if status >= 400 and not isinstance(json.loads(body).get("message"), str):
                return f"status {status} without a message: {body[:200]!r}"
        # Larger heads than this are refused by the parser.
        if case["kind"] in ("json", "query") and status >= 400 and kind != b"application/json" and len(case["steps"][0][1]) < 60000:
            return f"status {status} is not told as JSON but as {kind!r}: {body[:200]!r}"
    return None


def play(path, case, resolve):
    """Plays a case. Returns (outcome, answers, seconds): answered, closed (by the daemon), left (by us), gone (nobody listens) or hang."""
    began = time.monotonic()
    answers = Answers(case.get("methods", []))
    patience, expected = case.get("patience", 20), case.get("expected")
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(patience)
    try:
        peer.connect(path)
    except (ConnectionError, FileNotFoundError):
        return "gone", answers, 0
    except (TimeoutError, BlockingIOError):
        return "hang", answers, patience
    peer.setblocking(False)
    ended = False

    def pump(out, seconds, until):
        """Sends and receives until the bytes are out (when there are any), `until` holds, the end comes or time is over. True unless it is."""
        nonlocal ended
        deadline = time.monotonic() + seconds
        out = memoryview(out)
        while not ended and (len(out) or not until()):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            readable, writable, _ = select.select([] if case.get("deaf") else [peer], [peer] if len(out) else [], [], left)
            if readable:
                try:
                    data = peer.recv(1 << 18)
                except ConnectionError:
                    data = b""
                answers.feed(data)
                ended = not data
            if writable and not ended:
                try:
                    out = out[peer.send(out[:1 << 16]):]
                except BlockingIOError:
                    pass
                except OSError:
                    out = out[:0]  # it has closed: what it said before is still to be read
            if out and len(out) == 0 and until():
                break
        return True

    try:
        all_sent = True
        for step, *argument in case["steps"]:
            if ended:
                break
            if step == "send":
                all_sent = pump(resolve(argument[0]), patience, lambda: True) and all_sent
            elif step == "half":
                try:
                    peer.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            elif step == "pause":
                pump(b"", argument[0], lambda: False)
            elif step == "await":  # the head of an answer, if one comes
                pump(b"", argument[0], lambda: answers.head is not None or bool(answers.done))
            elif step == "leave":
                return "left", answers, time.monotonic() - began
        if not all_sent and not ended:
            return ("left" if case.get("deaf") or expected is None else "hang"), answers, time.monotonic() - began
        if case.get("follows"):
            pump(b"", case["follows"], lambda: expected is not None and len(answers.done) >= expected)
            return "left", answers, time.monotonic() - began
        if expected is not None:
            in_time = pump(b"", patience, lambda: len(answers.done) >= expected or answers.fault is not None)
            return ("closed" if ended else "answered" if in_time else "hang"), answers, time.monotonic() - began
        # Nobody can say what such bytes deserve; but once no more can come, the daemon must let go of the connection.
        pump(b"", 0.05, lambda: False)
        try:
            peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        in_time = pump(b"", patience, lambda: False)
        return ("closed" if in_time else "hang"), answers, time.monotonic() - began
    finally:
        answers.finish()
        peer.close()


def ask(path, method, target, document=None, seconds=10):
    """A plain request of our own: (status, decoded body)."""
    body = b"" if document is None else json.dumps(document).encode()
    head = f"{method} {target} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    case = {"kind": "own", "steps": [["send", head + body]], "methods": [method], "expected": 1, "patience": seconds}
    outcome, answers, _ = play(path, case, lambda data: data)
    if not answers.done:
        raise TimeoutError(f"{method} {target}: {outcome}")
    status, fields, text = answers.done[0]
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text
