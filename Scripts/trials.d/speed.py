"""How fast changes spread and tasks start, and how many writes are agreed on, beside rivals in the same run."""
import base64, contextlib, ctypes, http.client, json, os, re, shutil, socket, subprocess, threading, time
import deaths
from ground import Ground, Probe, now, stamp, wait_for
from report import at_rank


def spread_of_change(report, ground, options):
    """A scale by one, up and down: until the names (and the balancer) on every node have it, asked every 5 ms."""
    deaths.prepare(ground)
    docker = ground.engine == "docker"
    ground.create("web", replicas=3, mode="dnsrr" if docker else "vip", delay=0)
    ground.run_all(60, web=3)
    questions = (["tasks.web"], []) if docker else (["tasks.web", "web"], ["web:80"])
    watchers = [Probe(ground, i, *questions, every=0.005) for i in ground.nodes]

    def seen(size):
        """Times at which each node first answered with so many addresses, after `since`."""
        times = []
        for watcher in watchers:
            fit = [e["at"] for e in list(watcher.events)
                   if e["name"] == "tasks.web" and e["at"] >= since and len(e["answer"] or []) == size]
            if not fit:
                return None
            times.append(fit[0])
        return times

    since = 0
    wait_for(20, "the probes", lambda: seen(3))
    offset = time.time() - now()
    for number in range(1, options.count + 1):
        report.round(number, options.count)
        since = now()
        scale(ground, "web", 4)
        ground.run_all(60, web=4)
        times = wait_for(60, "four addresses everywhere", lambda: seen(4), 0.005)
        newest = max(stamp(t["Status"]["Timestamp"]) for t in ground.tasks("web")) - offset
        report.value("up: running to the last node's names", max(0, max(times) - newest) * 1000, 1000, "ms")
        report.value("up: first node's names to the last's", (max(times) - min(times)) * 1000, 250, "ms")
        time.sleep(0.5)
        since = now()
        scale(ground, "web", 3)
        times = wait_for(60, "three addresses everywhere", lambda: seen(3), 0.005)
        report.value("down: request to the last node's names", (max(times) - since) * 1000, 1000, "ms")
        report.value("down: first node's names to the last's", (max(times) - min(times)) * 1000, 250, "ms")
        wait_for(60, "the removed task's end", lambda: len(ground.tasks("web")) == 3)
        time.sleep(0.5)
    for watcher in watchers:
        watcher.stop()
    if not docker:
        failures = [e for w in watchers for e in w.failures()]
        report.value("requests to the VIP that failed meanwhile", len(failures), 0, "requests")
        report.note(f"{sum(w.summary.get('vip_asked', 0) for w in watchers)} requests; failures {failures[:3]}")


def scale(ground, name, replicas):
    def change(api):
        found = api.get(f"/services/{name}")
        found["Spec"]["Mode"]["Replicated"]["Replicas"] = replicas
        api.post(f"/services/{name}/update?version={found['Version']['Index']}", found["Spec"])
    ground.ask(change, 30)


def start_100(report, ground, options):
    """100 tasks, created to all running; and the same on as many Docker Engines, which wait in turn."""
    figures = {}
    def measure(ground, label):
        ground.network()
        ground.create("warm", replicas=3, mode="dnsrr", command=["sleep", "1000000"])
        ground.run_all(60, warm=3)
        for number in range(1, options.count + 1):
            since = time.time()
            ground.create(f"hundred{number}", replicas=100, mode="dnsrr", command=["sleep", "1000000"], delay=0)
            tasks = wait_for(300, "100 tasks", lambda: all_running(ground, f"hundred{number}", 100), 0.2)
            took = max(stamp(t["Status"]["Timestamp"]) for t in tasks) - since
            figures.setdefault(label, []).append(took)
            report.value(f"100 tasks on {ground.size} nodes, {label}", took)
            ground.remove(f"hundred{number}", seconds=180)
    measure(ground, "docker" if ground.engine == "docker" else "ours")
    if ground.engine == "docker":
        return
    # The cluster's nodes are at rest while the rival works: both are on the same machine.
    for node in ground.nodes:
        ground.word("kill", node)
        ground.dead.add(node)
    with rival(ground) as other:
        measure(other, "docker")
    middle = {k: sorted(v)[len(v) // 2] for k, v in figures.items()}
    report.value("ratio of the medians", middle["docker"] / middle["ours"], 3, "times", at_least=True)


def rival(ground):
    other = Ground("docker", ground.size, len(ground.managers))
    other.environment["CLUSTER_NAME"] = ground.name + "-rival"
    other.environment["CLUSTER_DIR"] = other.folder = ground.folder + "-rival"
    return other


def all_running(ground, name, count):
    tasks = [t for t in ground.tasks(name, timeout=10) if t["Status"]["State"] == "running"]
    return tasks if len(tasks) == count else None


# Writes, by the same client on both sides: a kept connection for each of its threads, one request after the other.

VALUE = b"x" * 256


class Wire:
    """A kept HTTP connection that costs its own side little: the same for both, so that it is not what is measured."""

    def __init__(self, socket, host):
        self.socket, self.host, self.rest = socket, host, b""

    def post(self, path, body):
        """The answer's status."""
        self.socket.sendall(b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                            b"Content-Length: %d\r\n\r\n%s" % (path, self.host, len(body), body))
        data = self.rest
        while (head := data.find(b"\r\n\r\n")) < 0:
            data += self.more()
        length = re.search(rb"content-length: *(\d+)", data[:head], re.I)
        if length:
            end = head + 4 + int(length[1])
            while len(data) < end:
                data += self.more()
        else:   # in chunks
            while (end := data.find(b"0\r\n\r\n", head)) < 0:
                data += self.more()
            end += 5
        self.rest = data[end:]
        return int(data[9:12])

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise OSError("the connection was closed")
        return data


class EtcdConnection:
    def __init__(self, address, number):
        self.wire, self.number, self.serial = Wire(socket.create_connection((address, 2379), 30), b"etcd"), number, 0

    def write(self):
        self.serial += 1
        key = base64.b64encode(b"key%d" % self.number)
        value = base64.b64encode(b"%08d%s" % (self.serial, VALUE[8:]))
        status = self.wire.post(b"/v3/kv/put", b'{"key":"%s","value":"%s"}' % (key, value))
        if status != 200:
            raise OSError(f"etcd answers {status}")


class NodeConnection:
    """Creates configs: one agreement and no read each, as a put is."""

    def __init__(self, ground, node, number):
        self.number, self.serial = number.encode(), 0
        place = socket.socket(socket.AF_UNIX)
        place.settimeout(30)
        place.connect(ground.socket_of(node))
        self.wire = Wire(place, b"node")

    def write(self):
        self.serial += 1
        value = base64.b64encode(b"%08d%s" % (self.serial, VALUE[8:]))
        body = b'{"Name":"written%s-%d","Data":"%s","Labels":{}}' % (self.number, self.serial, value)
        status = self.wire.post(b"/configs/create", body)
        if status != 201:
            raise OSError(f"swarmd answers {status}")


def writes(connections, seconds):
    """Writes a second and their latencies, sorted."""
    latencies, end, errors = [], now() + seconds, []
    def run(connection):
        own = []
        while now() < end:
            since = now()
            try:
                connection.write()
                own.append(now() - since)
            except Exception as error:
                errors.append(str(error))
                time.sleep(0.05)
        latencies.extend(own)
    threads = [threading.Thread(target=run, args=(c,)) for c in connections]
    since = now()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(latencies) / (now() - since), sorted(latencies), errors


def etcd(report, ground, options):
    folder = ground.folder + "-etcd"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    members, names = [], ",".join(f"m{i}=http://{ground.addresses[i]}:2380" for i in ground.nodes)
    try:
        for i in ground.nodes:
            at = f"http://{ground.addresses[i]}"
            members.append(subprocess.Popen(
                [ground.script, "run", str(i), "etcd", "--name", f"m{i}", "--data-dir", f"{folder}/m{i}",
                 "--listen-peer-urls", at + ":2380", "--initial-advertise-peer-urls", at + ":2380",
                 "--listen-client-urls", f"{at}:2379,http://127.0.0.1:2379", "--advertise-client-urls", at + ":2379",
                 "--initial-cluster", names, "--initial-cluster-state", "new", "--log-level", "error"],
                env=ground.environment, stdin=subprocess.DEVNULL, stdout=open(f"{folder}/m{i}.log", "w"),
                stderr=subprocess.STDOUT))
        with in_client(ground):
            compare_writes(report, ground, options)
    finally:
        for member in members:
            member.terminate()
        for member in members:
            member.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def compare_writes(report, ground, options):
    def started():
        EtcdConnection(ground.addresses[1], 0).write()
        return True
    wait_for(30, "etcd to elect", started)
    leaders = {"etcd": find_etcd_leader(ground), "ours": ground.settled()}
    for number in range(1, options.count + 1):
        report.round(number, options.count)
        for clients in (1, 64):
            both, label = {}, f"{clients} client{'s' if clients > 1 else ''}"
            for who in ["etcd", "ours"] if number % 2 else ["ours", "etcd"]:
                connections = [EtcdConnection(ground.addresses[leaders[who]], n) if who == "etcd" else
                               NodeConnection(ground, leaders[who], f"{number}-{clients}-{n}") for n in range(clients)]
                rate, latencies, errors = writes(connections, options.seconds or 10)
                both[who] = rate
                report.value(f"{label}: {who}", rate, unit="writes/s")
                for share in (50, 99) if latencies else ():
                    report.value(f"{label}: {who}, latency p{share}", at_rank(latencies, share) * 1000, unit="ms")
                if errors:
                    report.note(f"{who}: {len(errors)} errors, first: {errors[0]}")
            report.value(f"{label}: ours to etcd", both["ours"] / both["etcd"], 1 if clients == 1 else 1.5, "times",
                         at_least=True)


@contextlib.contextmanager
def in_client(ground):
    """This process goes to the client's place on the LAN, where it reaches etcd; unix sockets know no namespaces."""
    library = ctypes.CDLL(None, use_errno=True)
    def go(place):
        if library.setns(place.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    with open("/proc/self/ns/net") as home, open(f"/run/netns/{ground.name}-client") as place:
        go(place)
        try:
            yield
        finally:
            go(home)


def find_etcd_leader(ground):
    for i in ground.nodes:
        connection = http.client.HTTPConnection(ground.addresses[i], 2379, timeout=10)
        connection.request("POST", "/v3/maintenance/status", "{}")
        status = json.loads(connection.getresponse().read())
        if status["header"]["member_id"] == status["leader"]:
            return i
    return 1
