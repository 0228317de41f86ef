"""Makes the cases: case N of a seed is always the same bytes, apart from identifiers that the daemon draws."""
import random
import re

import mutate
import routes

LENGTHS = {"ID": 25, "EXEC": 64}  # of what placeholders stand for
HOLE = re.compile(rb"\{\{(ID|EXEC|VERSION)(?::([^}]*))?\}\}")
CHANGING = re.compile(r"/(stop|restart|kill|wait)$")


def length(body):
    """Of a body once its placeholders are filled in."""
    return len(HOLE.sub(lambda hole: b"x" * LENGTHS.get(hole[1].decode(), 1), body))


def follows(method, target):
    """Whether such a request may rightly last for ever."""
    path = target.split("?")[0]
    return path.endswith(("/events", "/logs", "/wait", "/stats", "/attach", "/start")) or "/images/create" in path and method == "POST"


def patience(target):
    # Names are looked up, registries asked; tasks that end are waited for; a container's grace is its client's to choose.
    if "/distribution" in target or "/services" in target or "/swarm/join" in target:
        return 60
    return 90 if CHANGING.search(target.split("?")[0]) or "/networks/" in target else 30


class Maker:
    def __init__(self, seed):
        self.seed = seed
        self.routes, self.queries, self.filters = routes.declared()
        self.bodied = [route for route in self.routes if route[0] in ("POST", "PUT")]
        self.hijacks = [route for route in self.routes if route[1] in ("/containers/{id}/attach", "/exec/{id}/start")]
        self.long = [route for route in self.routes if follows(*route)]
        self.tars = [("PUT", "/containers/{id}/archive"), ("POST", "/images/load"), ("POST", "/images/create")]

    def case(self, index):
        rng = random.Random(f"{self.seed}:{index}")
        kinds = [("json", 26), ("life", 8), ("query", 14), ("headers", 12), ("bytes", 8), ("pipeline", 6), ("cut", 8), ("hijack", 9), ("tar", 8), ("follow", 5), ("path", 5), ("slow", 1), ("deaf", 2)]
        kind = rng.choices([name for name, _ in kinds], [weight for _, weight in kinds])[0]
        case = getattr(self, "_" + kind)(rng)
        case["kind"] = kind
        # These would end the swarm that the other cases need, as they should.
        whole = b"".join(step[1] for step in case["steps"] if step[0] == "send")
        lowered = whole.lower()
        if (b"leave" in lowered and b"force" in lowered) or b"forcenewcluster" in lowered or b"drain" in lowered:
            return self.case(index + 1_000_000_000)
        return case

    # Pieces.

    def _target(self, rng, method, pattern):
        def name(match):
            if rng.random() < 0.1:
                return mutate.escaped(rng, "!" + rng.choice(mutate.TEXTS))  # no prefix of an identifier
            first = pattern.split("/")[1]
            removes = method == "DELETE" or pattern.endswith(("/stop", "/kill"))
            return rng.choice((routes.REMOVABLE if removes else {}).get(first) or routes.NAMED.get(first, ["absent"]))
        target = re.sub(r"\{\w+(?:\.\.\.)?\}", name, pattern)
        return rng.choice(["", "/v1.41", "/v1.24", "/v1.44", "/v1.50"]) + target

    def _asked(self, rng, pattern, wild):
        honest = {"version": ["{{VERSION}}"], "tail": ["5", "all"], "stdout": ["1"], "stderr": ["1"], "follow": ["0", "1"], "path": ["/tmp", "/t", "/"], "h": ["24"], "w": ["80"],
                  "t": ["0", "1"], "signal": ["TERM", "0", "15"], "name": ["fuzzbox"], "tag": ["tag"], "repo": ["fuzz"], "fromImage": ["198.18.0.11:5000/x"], "fromSrc": ["-"],
                  "names": ["busybox:latest"], "since": ["0"], "until": ["1"], "stream": ["0", "1"], "one-shot": ["1"], "condition": ["not-running", "removed"], "logs": ["1"]}
        pairs = []
        if pattern.endswith("/update"):
            pairs.append(("version", "{{VERSION}}"))
        if pattern.endswith("/archive"):
            pairs.append(("path", rng.choice(["/tmp", "/tmp", "/", "/absent", "/proc/self", "/dev/null"])))
        if pattern.endswith(("/logs", "/attach")):
            pairs += [("stdout", "1"), ("stderr", "1"), ("stream", "1"), ("stdin", "1")]
        if pattern.endswith("/wait") and rng.random() < 0.5:
            pairs.append(("condition", rng.choice(["removed", "next-exit"])))
        if pattern.endswith("/resize"):
            pairs += [("h", "24"), ("w", "80")]
        if pattern == "/images/get":
            pairs.append(("names", "busybox:latest"))
        for _ in range(rng.choice([1, 2, 3, 6]) if wild else rng.choice([0, 0, 0, 1])):
            name = rng.choice(self.queries)
            if name == "force":
                continue
            values = honest.get(name, ["1", "0"])
            pairs.append((name, rng.choice(values) if rng.random() < 0.4 else rng.choice(mutate.TEXTS + mutate.NUMBERS)))
        if wild and rng.random() < 0.4:
            pairs.append(("filters", mutate.filters(rng, self.filters, ["web", "net", "a=b", "running", "node1", "true", "solo"])))
        rng.shuffle(pairs)
        text = "&".join(f"{name}={value if value == '{{VERSION}}' else mutate.escaped(rng, value)}" for name, value in pairs)
        if wild and rng.random() < 0.1:
            text = rng.choice(["&", "&&=", "=", "a", "a&a=b&=c", "%", "%2", "?" + text, text + "#x", "filters={", "a=" + "y" * 5000]) + text
        return "?" + text if text else ""

    @staticmethod
    def _request(method, target, body=b"", headers=()):
        about = re.sub(r"^/v1\.\d+", "", target.split("?")[0]).removesuffix("/update")
        target = target.replace("{{VERSION}}", "{{VERSION:" + about + "}}")
        lines = [f"{method} {target} HTTP/1.1", "Host: d", *headers]
        if body or method in ("POST", "PUT"):
            lines += ["Content-Type: application/json", f"Content-Length: {length(body)}"]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body

    def _one(self, rng, route, body=None, wild=False):
        """One request with right framing, as a case."""
        method, pattern = route
        target = self._target(rng, method, pattern) + self._asked(rng, pattern, wild)
        if body is None:
            body = mutate.text_of(mutate.opened(routes.document(rng, method, pattern))) if method in ("POST", "PUT") else b""
        case = {"steps": [["send", self._request(method, target, body)]], "methods": [method], "expected": 1, "patience": patience(target)}
        if pattern.endswith(("/load", "/create", "/import")) and "/images" in pattern:
            case["lines"] = True
        if follows(method, pattern):
            case["follows"] = 0.3
        return case

    # Kinds.

    def _json(self, rng):
        method, pattern = rng.choice(self.bodied)
        return self._one(rng, (method, pattern), mutate.json_text(rng, routes.document(rng, method, pattern)))

    def _life(self, rng):
        """A container of a mutated document made, started, and removed again, or its like of a service."""
        name = f"fuzzbox{rng.randrange(1000)}"
        body = mutate.json_text(rng, routes.document(rng, "POST", "/containers/create"))
        requests = [("POST", f"/containers/create?name={name}", body), ("POST", f"/containers/{name}/start", b""), ("GET", f"/containers/{name}/json", b""),
                    ("DELETE", f"/containers/{name}?force=1&v=1", b"")]
        return {"steps": [["send", b"".join(self._request(*request) for request in requests)]], "methods": [request[0] for request in requests], "expected": 4, "patience": 90}

    def _query(self, rng):
        return self._one(rng, rng.choice(self.routes), wild=True)

    def _headers(self, rng):
        method, pattern = rng.choice(self.routes)
        body = mutate.text_of(mutate.opened(routes.document(rng, method, pattern))) if rng.random() < 0.7 else b""
        size = length(body)
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (size, body) if size else b"0\r\n\r\n"
        choices = [
            [f"Content-Length: {n}"] for n in (0, size + 1, size + 1000, max(size - 1, 0), -1, 2**31, 2**63, 2**64, 10**30, f"{size}, {size}", f"+{size}", f"{size} ", "0x10", "", "1e3")
        ] + [[f"Content-Length: {size}", f"Content-Length: {size + 1}"], [f"Content-Length: {size}", "Transfer-Encoding: chunked"],
             ["Transfer-Encoding: gzip, chunked"], ["Transfer-Encoding: identity"], ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], ["Transfer-Encoding: \tchunked"],
             [f"Content-Length: {size}", "Expect: 100-continue"], ["Expect: 100-continue"], [f"Content-Length: {size}", "Expect: nonsense"],
             [f"Content-Length: {size}", "Connection: close"], [f"Content-Length: {size}", "Connection: keep-alive, Upgrade", "Upgrade: tcp"], ["Upgrade: h2c", "HTTP2-Settings: AAAA"],
             [f"Content-Length: {size}", "Connection: Upgrade", "Upgrade: websocket"], [f"Content-Length: {size}", "Content-Encoding: gzip"], ["Trailer: X-A", "Transfer-Encoding: chunked"]]
        lines = rng.choice(choices)
        extra = rng.choice([[], [], ["Content-Type: " + rng.choice(["text/plain", "application/json; charset=utf-8", "APPLICATION/JSON", "", "\xff", "multipart/form-data; boundary=x", "a" * 9000])],
                            ["X-Registry-Auth: " + rng.choice(["", "e30=", "eyJ1c2VybmFtZSI6MX0=", "!!!", "a" * 70000, "bnVsbA==", "W10="])], ["X: " + "y" * 100000], [f"X{i}: y" for i in range(3000)],
                            ["Host: e"], [": empty"], ["no colon"], ["Bad Name: x"], [" folded: x"], ["X: a\x00b"], ["X: a\x0bb"], ["Origin: http://evil"], ["Content-Type: application/json"] * 3])
        start = rng.choice(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 ", "", "HTTP/11"])
        payload = body
        if any("chunked" in line for line in lines):
            payload = rng.choice([chunked, chunked, mutate.some_bytes(rng, chunked), b"ffffffffffffffff\r\nx", b"-1\r\nx\r\n0\r\n\r\n", b"1;ext=\"" + b"e" * 9000 + b"\"\r\nx\r\n0\r\n\r\n",
                                  b"0\r\nX-A: b\r\n\r\n", b"0\r\n" + b"X-A: b\r\n" * 3000 + b"\r\n", b"5\nhello\n0\n\n", b"g\r\n", b"1\r\nxx\r\n", b"".join(b"1\r\n%c\r\n" % c for c in body[:2000]) + b"0\r\n\r\n"])
        target = self._target(rng, method, pattern) + self._asked(rng, pattern, False)
        request = self._request(method, target).split(b"\r\n")[0].removesuffix(b"HTTP/1.1") + start.encode()
        head = "\r\n".join(["", "Host: d", *extra, *lines, "", ""]).encode("latin-1")
        case = {"steps": [["send", request + head + payload]], "methods": [method], "patience": patience(target)}
        if "{{EXEC}}" in target or follows(method, target):
            case["follows"] = 0.3
        return case

    def _bytes(self, rng):
        case = self._one(rng, rng.choice(self.routes), wild=rng.random() < 0.3)
        whole = case["steps"][0][1]
        changed = mutate.some_bytes(rng, whole)
        case = {"steps": [["send", changed]], "methods": [changed.split(b" ")[0].decode("latin-1")], "patience": case["patience"], **({"follows": 0.3} if "follows" in case else {})}
        if b"chunked" in changed or changed.count(b"HTTP/1.1") > 1:
            case["methods"] = []
        return case

    def _pipeline(self, rng):
        simple = [route for route in self.routes if route in (("GET", "/_ping"), ("HEAD", "/_ping"), ("GET", "/version"), ("GET", "/info"), ("GET", "/services"), ("GET", "/tasks"),
                                                             ("GET", "/nodes/{id}"), ("POST", "/configs/create"), ("POST", "/secrets/create"), ("GET", "/networks"), ("GET", "/containers/json"),
                                                             ("POST", "/volumes/create"), ("GET", "/images/json"))]
        parts = [self._one(rng, rng.choice(simple)) for _ in range(rng.choice([2, 5, 12, 60]))]
        whole = b"".join(part["steps"][0][1] for part in parts)
        methods = [part["methods"][0] for part in parts]
        ending = rng.random()
        if ending < 0.2:  # something else behind them
            return {"steps": [["send", whole + mutate.some_bytes(rng, parts[0]["steps"][0][1])]], "methods": methods}
        if ending < 0.4:
            return {"steps": [["send", whole], ["leave"]], "methods": methods}
        if ending < 0.6:
            cut = rng.randrange(len(whole))
            return {"steps": [["send", whole[:cut]], ["pause", 0.01], ["send", whole[cut:]]], "methods": methods, "expected": len(parts)}
        return {"steps": [["send", whole]] + ([["half"]] if ending < 0.8 else []), "methods": methods, "expected": len(parts)}

    def _cut(self, rng):
        case = self._one(rng, rng.choice(self.bodied if rng.random() < 0.7 else self.routes))
        whole = case["steps"][0][1]
        steps = [["send", whole[:rng.randrange(len(whole))]]]
        if rng.random() < 0.5:
            steps += [["pause", rng.choice([0, 0.01, 0.05])], [rng.choice(["leave", "half"])]]
        return {"steps": steps, "methods": case["methods"], "patience": case["patience"], **({"follows": 0.3} if "follows" in case else {})}

    def _hijack(self, rng):
        method, pattern = rng.choice(self.hijacks)
        target = self._target(rng, method, pattern) + self._asked(rng, pattern, False)
        body = b"" if pattern.endswith("/attach") else (mutate.json_text(rng, {"Detach": False, "Tty": False}) if rng.random() < 0.2 else b'{"Detach":false,"Tty":%s}' % rng.choice([b"true", b"false"]))
        upgrade = ["Connection: Upgrade", "Upgrade: " + rng.choice(["tcp", "tcp", "tcp", "h2c", "", "x" * 5000])] if rng.random() < 0.8 else []
        steps = [["send", self._request(method, target, body, upgrade)]]
        if rng.random() < 0.8:
            steps.append(["await", 3])
        for _ in range(rng.randrange(5)):
            what = rng.randrange(6)
            if what < 3:
                steps.append(["send", rng.choice([rng.randbytes(rng.choice([1, 100, 70000])), b"\x10\x11", b"\x03\x04", b"line\n" * 100, b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n", b"\x00" * 1000])])
            elif what == 3:
                steps.append(["pause", 0.02])
            elif what == 4:
                steps.append(["half"])
                break
            else:
                steps.append(["leave"])
                break
        return {"steps": steps, "methods": [method], "follows": rng.choice([0.05, 0.5])}

    def _tar(self, rng):
        method, pattern = rng.choice(self.tars)
        data = mutate.tar(rng, mutate.image(rng) if pattern.endswith("/load") else mutate.tree(rng))
        if rng.random() < 0.1:
            data = rng.choice([b"", b"\x1f\x8b" + data, b"BZh9" + data, b"\xfd7zXZ\x00" + data, b"\x28\xb5\x2f\xfd" + data, rng.randbytes(3000)])
        target = self._target(rng, method, pattern)
        if "archive" in pattern:
            target = f"/containers/{rng.choice(['solo', 'quick'])}/archive?path=" + rng.choice(["/tmp", "/tmp", "/", "/absent", "/tmp/link", "/tmp/d", "/proc", "/v", "/t"])
            target += rng.choice(["", "&noOverwriteDirNonDir=1", "&copyUIDGID=1"])
        elif pattern.endswith("/create"):
            target += "?fromSrc=-&repo=fuzz&tag=" + rng.choice(["tag", "", "b%20d", "x" * 200]) + rng.choice(["", "&changes=CMD%20[", "&changes=ENV%20a", "&changes=%00", "&changes=EXPOSE%20-1"])
        case = {"methods": [method], "patience": 60, "lines": True}
        if rng.random() < 0.7:
            head = f"{method} {target} HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            case["steps"] = [["send", head + data]]
            case["expected"] = 1
        else:
            head = f"{method} {target} HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            pieces, at = [], 0
            while at < len(data):
                size = rng.choice([1, 100, 512, 4096, 70000])
                pieces.append(b"%x\r\n%s\r\n" % (len(data[at:at + size]), data[at:at + size]))
                at += size
            case["steps"] = [["send", head], *[["send", piece] for piece in pieces]]
            if rng.random() < 0.7:
                case["steps"].append(["send", b"0\r\n\r\n"])
                case["expected"] = 1
        return case

    def _follow(self, rng):
        method, pattern = rng.choice(self.long)
        target = self._target(rng, method, pattern) + self._asked(rng, pattern, rng.random() < 0.3)
        if pattern.endswith("/logs"):
            target += ("&" if "?" in target else "?") + "follow=1"
        body = b"" if "exec" not in pattern else b"{}"
        steps = [["send", self._request(method, target, body)], ["await", 1], *([["half"]] if rng.random() < 0.5 else [])]
        return {"steps": steps, "methods": [method], "follows": rng.choice([0.01, 0.2, 1])}

    def _path(self, rng):
        method = rng.choice(["GET", "GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PROPFIND", "get", "", "G\x00T", "M" * 5000])
        target = rng.choice(["*", "", "/", "//", "///services", "/./services", "/../services", "/services/", "/services//", "/v1.41", "/v1.41/", "/v1.41//info", "/v1.99/info", "/v1.1/info", "/v0/info",
                             "/v-1.-1/info", "/v99999999999999999999.1/info", "/v1.41.1/info", "/v1./info", "/v/info", "http://d/info", "http://", "http://d", "https://d?x", "http:///v1.41/info", "d:80",
                             "/%", "/%2", "/%zz", "/services/%00", "/services/%ff%fe", "/services/%2e%2e%2f", "/services/" + "%61" * 3000, "/" + "a/" * 5000, "/services/" + "x" * 70000,
                             "/images//json", "/images/%2f/json", "/images/a/b/c/d/e/f/g/json/json/json", "/images/json/json", "/services/\u00e9", "/info#frag", "/info?" + "a=b&" * 20000, "/_ping/x"])
        return {"steps": [["send", f"{method} {target} HTTP/1.1\r\nHost: d\r\n\r\n".encode()]], "methods": [method], "patience": 30}

    def _slow(self, rng):
        case = self._one(rng, rng.choice([route for route in self.bodied if not follows(*route)]))
        whole = case["steps"][0][1]
        if len(whole) > 400 or b"{{" in whole:
            whole = self._request("POST", "/volumes/create", b'{"Name":"fuzzvol1"}')
            case["methods"] = ["POST"]
        case["steps"] = [step for byte in whole for step in (["send", bytes([byte])], ["pause", 0.001])]
        return case

    def _deaf(self, rng):
        """Asks for much and reads none of it."""
        target = rng.choice(["/images/get?names=busybox:latest", "/tasks", "/services", "/containers/solo/archive?path=/bin", "/info", "/containers/solo/logs?stdout=1&follow=1", "/events?since=0"])
        return {"steps": [["send", self._request("GET", target) * rng.choice([1, 20, 500])], ["pause", rng.choice([0.05, 0.5])], ["leave"]], "deaf": True, "patience": 1}

