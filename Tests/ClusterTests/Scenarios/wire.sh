# What Go's HTTP client and Docker's Go client are strict about, byte by byte: heads and content types, zero times,
# addresses with their prefix, chunks that come at once, connections that are taken over and half closed.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
docker network create -d overlay --attachable app >/dev/null
docker service create -d --name web --network app -p 8080:80 busybox:latest sh -c 'echo hello; exec sleep 1000' >/dev/null 2>&1
eventually 20 "web" runs web 1
docker run -d --name solo busybox:latest sleep 1000 >/dev/null
timeout 120 python3 - "$CLUSTER_DIR/n1/swarmd.sock" <<'WIRE' || fail "the wire"
import ipaddress, json, re, socket, struct, sys, threading
path = sys.argv[1]

def connect():
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(10)
    peer.connect(path)
    return peer

def head_of(stream):
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        assert line.endswith(b"\r\n"), line
        lines.append(line[:-2].decode())
    fields = {}
    for line in lines[1:]:
        name, value = line.split(": ", 1)
        assert name.lower() not in fields, f"{name} comes twice"
        fields[name.lower()] = value
    return lines[0], fields

def request(method, target, body=None, headers=(), version="HTTP/1.1"):
    text = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {target} {version}", "Host: docker", "User-Agent: Go-http-client/1.1", *headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(text)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + text

def ask(method, target, body=None, headers=(), version="HTTP/1.1"):
    peer = connect()
    peer.sendall(request(method, target, body, headers, version))
    stream = peer.makefile("rb")
    status, fields = head_of(stream)
    data = b"" if method == "HEAD" or "content-length" not in fields else stream.read(int(fields["content-length"]))
    return status, fields, data

def is_(what, expected, found):
    assert expected == found, f"{what}: expected {expected!r}, found {found!r}"

# Heads. Go's client compares content types with what it expects; a body where there may be none is an error to it.
status, fields, data = ask("GET", "/_ping")
is_("ping", ("HTTP/1.1 200 OK", b"OK", "text/plain; charset=utf-8"), (status, data, fields["content-type"]))
for name in ("api-version", "ostype", "server", "docker-experimental", "date"):
    assert fields.get(name), f"/_ping lacks {name}"
assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", fields["date"]), fields["date"]
status, fields, _ = ask("HEAD", "/_ping")
is_("HEAD of ping", ("HTTP/1.1 200 OK", "text/plain; charset=utf-8"), (status, fields["content-type"]))
for target in ("/version", "/info", "/services", "/services/web", "/tasks", "/nodes", "/networks", "/secrets", "/configs", "/volumes", "/images/json", "/containers/json", "/swarm", "/absent", "/services/absent"):
    status, fields, data = ask("GET", "/v1.41" + target)
    is_(f"content type of {target}", "application/json", fields.get("content-type"))
    json.loads(data)
    assert data.endswith(b"\n") or b" 404 " in status.encode(), f"{target} does not end with a line break"
status, fields, data = ask("POST", "/containers/solo/pause")
is_("an answer without content", ("HTTP/1.1 204 No Content", None, None), (status, fields.get("content-length"), fields.get("transfer-encoding")))
ask("POST", "/containers/solo/unpause")
status, fields, _ = ask("POST", "/containers/solo/start")
is_("nothing to do", ("HTTP/1.1 304 Not Modified", None), (status, fields.get("content-length")))
status, fields, data = ask("GET", "/version", version="HTTP/1.0")
is_("a client of 1.0", ("HTTP/1.1 200 OK", "close"), (status, fields.get("connection")))

# One connection for many requests, also several sent at once.
peer = connect()
stream = peer.makefile("rb")
for _ in range(3):
    peer.sendall(request("GET", "/_ping") + request("GET", "/version") + request("POST", "/volumes/create", {"Name": "v"}))
    for expected in (200, 200, 201):
        status, fields = head_of(stream)
        is_("pipelined", f"HTTP/1.1 {expected}", status[:12])
        stream.read(int(fields["content-length"]))

# Times: Go's zero time for what never was, RFC 3339 in UTC with at most nine digits for the rest. Addresses as CIDR.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z")
times = 0

def walk(value, name=""):
    global times
    if isinstance(value, dict):
        for key, inner in value.items():
            walk(inner, key)
    elif isinstance(value, list):
        for inner in value:
            walk(inner, name)
    elif name in ("CreatedAt", "UpdatedAt", "Timestamp", "StartedAt", "FinishedAt", "Created", "SystemTime") and isinstance(value, str):
        times += 1
        assert TIME.fullmatch(value), f"{name} is {value}"
    elif name in ("Addresses", "Subnet", "DefaultAddrPool") and value:
        ipaddress.ip_interface(value)
        assert "/" in value, f"{name} is {value}"

for target in ("/services/web", "/tasks", "/nodes", "/networks/app", "/containers/solo/json", "/swarm", "/info", "/volumes/v"):
    walk(json.loads(ask("GET", target)[2]))
assert times >= 15, times
is_("a container that has not ended", "0001-01-01T00:00:00Z", json.loads(ask("GET", "/containers/solo/json")[2])["State"]["FinishedAt"])
service = json.loads(ask("GET", "/services/web")[2])
for address in service["Endpoint"]["VirtualIPs"]:
    assert "/" in address["Addr"], address
for container in json.loads(ask("GET", "/networks/app?verbose=1")[2])["Containers"].values():
    assert "/" in container["IPv4Address"] and container["IPv6Address"] == "", container

# Streams: their head comes before anything happens, then a chunk for each thing at once; they end with `0`.
peer = connect()
stream = peer.makefile("rb")
peer.sendall(request("GET", "/v1.41/events?type=volume&filters=%7B%22type%22%3A%7B%22volume%22%3Atrue%7D%7D"))
status, fields = head_of(stream)
is_("events", ("HTTP/1.1 200 OK", "application/json", "chunked"), (status, fields["content-type"], fields["transfer-encoding"]))
ask("POST", "/volumes/create", {"Name": "seen"})
size = int(stream.readline(), 16)
event = json.loads(stream.read(size))
is_("an event", ("volume", "create", "seen"), (event["Type"], event["Action"], event["Actor"]["ID"]))
peer.close()
peer = connect()
stream = peer.makefile("rb")
peer.sendall(request("GET", "/v1.41/services/web/logs?stdout=1&stderr=1"))
status, fields = head_of(stream)
is_("logs", ("application/vnd.docker.multiplexed-stream", "chunked"), (fields["content-type"], fields["transfer-encoding"]))
logged = b""
while size := int(stream.readline(), 16):
    logged += stream.read(size)
    is_("the end of a chunk", b"\r\n", stream.readline())
is_("the end of the stream", b"\r\n", stream.readline())
is_("a frame of a log", b"\x01\0\0\0\0\0\0\x06hello\n", logged)

# Connections that are taken over.
def frames(data):
    out = {1: b"", 2: b""}
    while data:
        kind, length = struct.unpack(">BxxxI", data[:8])
        out[kind] += data[8:8 + length]
        assert len(data) >= 8 + length, "a frame is cut short"
        data = data[8 + length:]
    return out

def exec_(command, version="v1.41", tty=False):
    return json.loads(ask("POST", f"/{version}/containers/solo/exec", {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": tty, "Cmd": command})[2])["Id"]

upgrade = ("Connection: Upgrade", "Upgrade: tcp")
text = bytes(range(256)) * 4096  # a megabyte, to which half the connection stays open
for version, kind, headers, expected in (("v1.41", "raw", upgrade, "HTTP/1.1 101 UPGRADED"), ("v1.44", "multiplexed", upgrade, "HTTP/1.1 101 UPGRADED"), ("v1.41", "raw", (), "HTTP/1.1 200 OK")):
    made = exec_(["sh", "-c", "cat; echo done >&2; exit 7"], version)
    peer = connect()
    # What is sent with the request itself is input, too.
    early = text[:10] if headers else b""
    peer.sendall(request("POST", f"/{version}/exec/{made}/start", {"Detach": False, "Tty": False}, headers) + early)
    stream = peer.makefile("rb")
    status, fields = head_of(stream)
    is_("the head of an exec", (expected, f"application/vnd.docker.{kind}-stream"), (status, fields["content-type"]))
    if headers:
        is_("the upgrade", ("upgrade", "tcp"), (fields["connection"].lower(), fields["upgrade"]))
    def feed():
        peer.sendall(text[len(early):])
        peer.shutdown(socket.SHUT_WR)
    feeder = threading.Thread(target=feed)
    feeder.start()
    out = frames(stream.read())
    feeder.join()
    assert out[1] == text, f"{len(out[1])} of {len(text)} bytes came back over a half-closed connection"
    is_("its errors", b"done\n", out[2])
    is_("its exit code, known with the end", (False, 7), (lambda info: (info["Running"], info["ExitCode"]))(json.loads(ask("GET", f"/exec/{made}/json")[2])))
made = exec_(["sh", "-c", "stty -echo; echo ready; read line; echo got $line"], tty=True)
peer = connect()
peer.sendall(request("POST", f"/v1.41/exec/{made}/start", {"Detach": False, "Tty": True}, upgrade))
stream = peer.makefile("rb")
is_("a terminal's head", "application/vnd.docker.raw-stream", head_of(stream)[1]["content-type"])
is_("a terminal's bytes, without frames", b"ready\r\n", stream.readline())
peer.sendall(b"this\n")
is_("a terminal's answer", b"got this\r\n", stream.read())
# Expect: 100-continue, as Go sends it with large bodies, and curl.
peer = connect()
body = b'{"Name":"continued"}'
peer.sendall(b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
stream = peer.makefile("rb")
is_("the word to go on", (b"HTTP/1.1 100 Continue\r\n", b"\r\n"), (stream.readline(), stream.readline()))
peer.sendall(body)
is_("what follows it", "HTTP/1.1 201 Created", head_of(stream)[0])
WIRE
