"""Asks names at 127.0.0.11 and services by HTTP from inside a container's network, and prints what changes.

Every line is a JSON object: {"kind": "dns", "name", "at", "answer": [address] or null, "error"} when the answer differs
from the one before; {"kind": "vip", "name", "at", "error", "who"} for each question that failed; and a summary at the
end. "at" is the monotonic time of the question, so the clock of every process on the machine.
"""
import argparse, collections, json, select, signal, socket, struct, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("--name", action="append", default=[])
parser.add_argument("--vip", action="append", default=[], help="HOST:PORT, asked by HTTP; the host may be a name")
parser.add_argument("--every", type=float, default=0.01, help="seconds between two questions to the same")
parser.add_argument("--vip-every", type=float, help="the same for HTTP, where it differs")
parser.add_argument("--patience", type=float, default=2.0, help="seconds until a question counts as lost")
parser.add_argument("--all", action="store_true", help="print every HTTP answer too")
options = parser.parse_args()
now = time.monotonic
stopped = False


def stop(*_):
    global stopped
    stopped = True


signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)


def say(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def question(number, name):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def skip_name(packet, at):
    while packet[at]:
        if packet[at] >= 0xC0:
            return at + 2
        at += packet[at] + 1
    return at + 1


def answers(packet):
    """(addresses, error) of a reply."""
    _, flags, questions, count, _, _ = struct.unpack(">6H", packet[:12])
    at, found = 12, []
    for _ in range(questions):
        at = skip_name(packet, at) + 4
    for _ in range(count):
        at = skip_name(packet, at)
        kind, _, _, length = struct.unpack(">2HIH", packet[at:at + 10])
        at += 10
        if kind == 1:
            found.append(socket.inet_ntoa(packet[at:at + 4]))
        at += length
    code = flags & 15
    return sorted(found), None if code == 0 else {2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}.get(code, f"rcode {code}")


poll = select.epoll()
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
dns.connect(("127.0.0.11", 53))
poll.register(dns, select.EPOLLIN)
waiting = collections.OrderedDict()     # DNS query id -> (name, time)
latest = {}                             # name -> (answer, error)
counts = {"dns_asked": 0, "dns_failed": 0, "vip_asked": 0, "vip_failed": 0, "vip_slow": 0}
who = collections.Counter()
calls = collections.OrderedDict()       # descriptor -> [socket, target, time, reply]
number = 0


def heard(name, at, answer, error):
    if error == "timeout":
        counts["dns_failed"] += 1
    if latest.get(name) != (answer, error):
        latest[name] = (answer, error)
        say(kind="dns", name=name, at=at, answer=answer, error=error)


def ask_name(name):
    global number
    number = (number + 1) & 0xFFFF
    counts["dns_asked"] += 1
    waiting[number] = (name, now())
    try:
        dns.send(question(number, name))
    except OSError as error:
        waiting.pop(number, None)
        counts["dns_failed"] += 1
        heard(name, now(), None, str(error))


def call(target):
    host, port = target.rsplit(":", 1)
    at = now()
    if not host[0].isdigit():
        if host not in latest:
            return
        if not latest[host][0]:
            counts["vip_asked"] += 1
            return failed(target, at, "no address")
        host = latest[host][0][counts["vip_asked"] % len(latest[host][0])]
    counts["vip_asked"] += 1
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        s.connect((host, int(port)))
    except BlockingIOError:
        pass
    except OSError as error:
        s.close()
        return failed(target, at, error.strerror)
    calls[s.fileno()] = [s, target, at, b"", False]
    poll.register(s, select.EPOLLOUT)


def failed(target, at, error):
    counts["vip_failed"] += 1
    say(kind="vip", name=target, at=at, error=error, who=None)


def end(descriptor, error=None):
    s, target, at, reply, _ = calls.pop(descriptor)
    poll.unregister(s)
    s.close()
    if error:
        return failed(target, at, error)
    head, _, body = reply.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.") or b" 200 " not in head[:16]:
        return failed(target, at, "no reply" if not reply else head.split(b"\r\n")[0].decode(errors="replace"))
    if now() - at > 0.1:
        counts["vip_slow"] += 1
    name = body.decode(errors="replace").strip()
    who[name] += 1
    if options.all:
        say(kind="vip", name=target, at=at, error=None, who=name)


def ready(descriptor):
    entry = calls.get(descriptor)
    if entry is None:
        return
    try:
        if not entry[4]:
            code = entry[0].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, "refused" if code == 111 else f"errno {code}")
            entry[0].send(b"GET / HTTP/1.0\r\n\r\n")
            entry[4] = True
            poll.modify(entry[0], select.EPOLLIN)
            return
        data = entry[0].recv(65536)
        if data:
            entry[3] += data
        else:
            end(descriptor)
    except BlockingIOError:
        pass
    except OSError as error:
        end(descriptor, error.strerror)


tick = vip_tick = now()
while not stopped:
    wait = tick - now()
    if wait <= 0:
        # A machine that was busy is not asked for all that was missed at once.
        tick = max(tick + options.every, now() - options.every)
        for name in options.name:
            ask_name(name)
        if now() >= vip_tick:
            vip_tick = max(vip_tick + (options.vip_every or options.every), now() - options.every)
            for target in options.vip:
                call(target)
        limit = now() - options.patience
        while waiting and next(iter(waiting.values()))[1] < limit:
            name, at = waiting.popitem(last=False)[1]
            heard(name, at, None, "timeout")
        while calls and next(iter(calls.values()))[2] < limit:
            end(next(iter(calls)), "timeout")
        continue
    for descriptor, _ in poll.poll(wait):
        if descriptor != dns.fileno():
            ready(descriptor)
            continue
        while True:
            try:
                packet = dns.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                break
            known = waiting.pop(struct.unpack(">H", packet[:2])[0], None)
            if known:
                heard(known[0], known[1], *answers(packet))
say(kind="summary", **counts, who=dict(who))
