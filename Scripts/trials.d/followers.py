"""What a thousand readers of logs cost those who create services."""
import selectors, socket, time
from ground import wait_for

FOLLOWERS = 1000


class Followers:
    """Connections that follow a service's log through one manager; what comes is counted and thrown away."""

    def __init__(self, ground, node, service, count):
        self.selector = selectors.DefaultSelector()
        self.lines = [0] * count
        request = (f"GET /v1.41/services/{service}/logs?follow=1&stdout=1&stderr=1&details=1 HTTP/1.1\r\n"
                   "Host: d\r\n\r\n").encode()
        self.sockets = []
        for number in range(count):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(ground.socket_of(node))
            connection.sendall(request)
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ, number)
            self.sockets.append(connection)

    def read(self, seconds):
        end = time.time() + seconds
        while (left := end - time.time()) > 0:
            for key, _ in self.selector.select(left):
                data = key.fileobj.recv(1 << 16)
                if not data:
                    raise OSError("a follower was sent away")
                self.lines[key.data] += data.count(b"MARK")

    def have(self, count):
        self.read(0.2)
        return min(self.lines) >= count

    def close(self):
        for connection in self.sockets:
            connection.close()
        self.selector.close()


def creations(ground, label, count):
    """Seconds that each of so many creations and removals of small services took, one after the other."""
    took = []
    def make(api):
        for number in range(count):
            spec = {"Name": f"{label}-{number}", "Mode": {"Replicated": {"Replicas": 0}},
                    "TaskTemplate": {"ContainerSpec": {"Image": "busybox:latest", "Args": ["sleep", "1000"]}}}
            since = time.perf_counter()
            api.post("/services/create", spec)
            took.append(time.perf_counter() - since)
    ground.ask(make, 60)
    ground.remove(*[f"{label}-{n}" for n in range(count)])
    return took


def log_followers(report, ground, options):
    """Creations before, under, and after a thousand followers of six tasks on three nodes."""
    ground.network()
    command = ["sh", "-c", "for n in 1 2 3 4 5; do echo MARK $n; done; exec sleep 1000000"]
    ground.create("talk", replicas=6, command=command, delay=0)
    ground.run_all(60, talk=6)
    manager = ground.leader()
    medians = {}
    def measure(name, label, number):
        took = sorted(creations(ground, f"{label}{number}", 100))
        medians.setdefault(name, []).append(took[len(took) // 2])
        report.value(f"creation, {name}", took[len(took) // 2] * 1000, None, "ms")
    for number in range(1, options.count + 1):
        report.round(number, options.count)
        measure("no followers", "before", number)
        followers = Followers(ground, manager, "talk", FOLLOWERS)
        since = time.time()
        wait_for(120, "every follower to have every line", lambda: followers.have(30), 0)
        report.value(f"{FOLLOWERS} followers have 30 lines each", time.time() - since)
        measure(f"{FOLLOWERS} followers", "under", number)
        followers.read(0.1)
        if max(followers.lines) > 30:
            report.fault(f"a follower was given lines twice: {max(followers.lines)}")
        followers.close()
    quiet, busy = (sorted(v)[len(v) // 2] for v in medians.values())
    report.value("creation under followers, against none", busy / quiet, 1.1, "times")
