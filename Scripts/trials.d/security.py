"""What the LAN and the disks may show, and how joins, promotions and demotions that must fail are refused."""
import base64, binascii, collections, os, random, re, shutil, subprocess, time
from ground import HERE, Late, Refused, now, processes, wait_for


def forms(marker):
    """The marker's bytes, and how they look in hexadecimal and at each alignment of base64."""
    raw = marker.encode()
    found = {"plain": raw, "hexadecimal": binascii.hexlify(raw)}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        # Characters that also depend on the neighbours are left out.
        found[f"base64+{shift}"] = encoded[(4 if shift else 0):-4]
    return found


def search(path, needles):
    """needle name -> offsets' count in one file."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return {}
    return {name: data.count(needle) for name, needle in needles.items() if needle in data}


def sealing(report, ground, options):
    kinds = "secret", "config", "environment", "label"
    markers = {kind: f"MARK{kind}{random.randrange(10**12):012}" for kind in kinds}
    capture = f"/tmp/{ground.name}.pcap"
    dump = subprocess.Popen(["nsenter", f"--net=/run/netns/{ground.name}-lan", "tcpdump", "-i", "any", "-s", "0", "-U",
                             "-Z", "root", "-w", capture], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    try:
        wait_for(10, "tcpdump", lambda: os.path.exists(capture) and os.path.getsize(capture) > 0)
        ground.network()
        api = ground.api(2, 30)
        secret = api.post("/secrets/create", {"Name": "marked", "Labels": {},
                                              "Data": base64.b64encode(markers["secret"].encode()).decode()})["ID"]
        config = api.post("/configs/create", {"Name": "marked", "Labels": {},
                                              "Data": base64.b64encode(markers["config"].encode()).decode()})["ID"]
        ground.create("marked", api, replicas=6, secrets=[(secret, "marked")],
                      configs=[(config, "marked")], env=["MARK=" + markers["environment"]],
                      labels={"mark": markers["label"]},
                      command=["sh", "-c", "grep -q MARK /run/secrets/marked /marked && exec sleep 100000"])
        tasks = ground.run_all(60, marked=6)
        readers = sorted({c[0] for c in processes(ground).values()})
        report.note(f"6 tasks read the secret and the config on nodes {readers}")
        # A manager that is behind gets the log and perhaps a snapshot over the LAN too; a worker its secrets again.
        ground.word("stop", 3, "KILL")
        for n in range(20):
            ground.create(f"more{n}", replicas=0, network=None, labels={"mark": markers["label"]})
        ground.word("start", 3)
        ground.settled()
        time.sleep(3)
        listed = ground.listed()
    finally:
        dump.terminate()
        dump.wait(10)
    size = os.path.getsize(capture)
    packets = subprocess.run(["tcpdump", "-r", capture, "-nn", "-q"], text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL).stdout.splitlines()
    ports = {p: sum(f".{p}:" in l or f".{p} >" in l for l in packets) for p in (2377, 7946, 4789)}
    report.note(f"LAN traffic searched: {size} bytes, {len(packets)} packets at every port of the bridge; {ports}")
    for port in (2377, 7946):
        if ports[port] == 0:
            report.fault(f"no packet to or from port {port} was seen: the search shows nothing")
    for kind, marker in markers.items():
        for form, count in search(capture, forms(marker)).items():
            report.fault(f"the {kind}'s marker is {count} times on the LAN ({form})")
    names = {f"node {i}'s id": n["ID"].encode() for i, n in listed.items()}
    names |= {f"node {i}'s host name": n["Description"]["Hostname"].encode() for i, n in listed.items()}
    for what, count in search(capture, names).items():
        report.fault(f"{what} is {count} times in the clear on the LAN")
    os.unlink(capture)

    report.note("files searched: all below every node's data directory (the daemon's database, log and snapshots, "
                "containerd's metadata, content and snapshots, container logs), and below its /run")
    allowed, found = re.compile(r"/containerd/"), collections.Counter()
    for node in ground.nodes:
        holder = open(f"{ground.folder}/n{node}/holder.pid").read().strip()
        for place, root in (("data", f"{ground.folder}/n{node}"), ("run", f"/proc/{holder}/root/run/swarmd")):
            for base, _, files in os.walk(root):
                for name in files:
                    path = os.path.join(base, name)
                    if not os.path.isfile(path) or os.path.getsize(path) > 200 << 20:
                        continue
                    for kind, marker in markers.items():
                        for form, count in search(path, forms(marker)).items():
                            short = path.replace(root, place)
                            if place == "run" and (kind == "environment" or on_tmpfs(path)):
                                continue
                            if kind == "environment" and allowed.search(path):
                                continue
                            short = re.sub(r"/[0-9a-z]{25,}", "/ID", short)
                            found[f"the {kind}'s marker ({form}) is in {short}"] += count
    for text, count in sorted(found.items()):
        report.fault(f"{text}, {count} times on all nodes")
    report.note("allowed: the environment in containerd's own metadata and run-time specification; the others in a "
                "tmpfs below /run")


def on_tmpfs(path):
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], text=True, stdout=subprocess.PIPE).stdout.strip()
    return kind in ("tmpfs", "ramfs")


def bad_join(report, ground, options):
    """Node 1 manages; nodes 2 and 3 work; nodes 4 to 6 stand beside; another cluster stands on its own LAN."""
    def token(role, node=1):
        return ground.word("ctl", node, "swarm", "join-token", "-q", role)

    def refused(what, node, *words, says, bound=30):
        since = now()
        try:
            status, out, err = ground.ctl(node, *words, timeout=bound + 30)
        except subprocess.TimeoutExpired:
            report.fault(f"{what}: no answer within {bound + 30} s")
            return
        took = now() - since
        report.value(f"refusal: {what}", took, bound)
        if status == 0:
            report.fault(f"{what}: was not refused; it printed '{out}'")
        elif not re.search(says, err, re.I):
            report.fault(f"{what}: status {status}, but the words do not say {says!r}: '{err}'")
        else:
            report.note(f"{what}: status {status}: {err}")
        if out and status != 0:
            report.fault(f"{what}: a refusal printed '{out}' on standard output")
        state = ground.ctl(node, "info", "--format", "{{.Swarm.LocalNodeState}}")[1]
        if "join" in words and node == 4 and state not in ("inactive", "error"):
            report.fault(f"{what}: node {node} is '{state}' afterwards")
            ground.ctl(node, "swarm", "leave", "--force")

    def join(node, token, address="198.18.0.11:2377"):
        return "swarm", "join", "--token", token, "--advertise-addr", ground.addresses[node], address

    for node in (4, 5, 6):
        ground.word("add", node)
    worker, manager = token("worker"), token("manager")
    prefix, version, digest, secret = worker.split("-")
    wrong = "0" if secret[-1] != "0" else "1"
    refused("a wrong secret", 4, *join(4, f"{prefix}-{version}-{digest}-{secret[:-1]}{wrong}"), says="token|secret")
    refused("a wrong digest of the authority", 4, *join(4, f"{prefix}-{version}-{digest[:-1]}{wrong}-{secret}"),
            says="CA|certificate|fingerprint|digest")
    refused("no token at all", 4, "swarm", "join", "198.18.0.11:2377", says="token")
    refused("words that are no token", 4, *join(4, "hello"), says="token")
    ground.word("ctl", 1, "swarm", "join-token", "--rotate", "-q", "worker")
    refused("a rotated token", 4, *join(4, worker), says="token|secret")
    worker = token("worker")
    refused("an address where nobody is", 4, *join(4, worker, "198.18.0.99:2377"), says="0.99|reach|connect|time")
    refused("an address where nobody listens", 4, *join(4, worker, "198.18.0.15:2377"), says="0.15|refused|connect")
    refused("a worker's address", 4, *join(4, worker, "198.18.0.12:2377"), says="manager|198.18.0.12|refused")
    ground.word("ctl", 5, "swarm", "init", "--advertise-addr", ground.addresses[5])
    refused("another cluster's token", 4, *join(4, token("worker", 5)), says="CA|certificate|fingerprint|digest|token")
    refused("a node of another cluster", 5, *join(5, worker), says="already part of a swarm|leave")
    refused("a node that has joined", 2, *join(2, worker), says="already part of a swarm|leave")
    status, out, err = ground.ctl(4, *join(4, worker))
    if status != 0:
        report.fault(f"a good token after all these: {err}")
    nodes = ground.listed()
    if nodes.get(4, {}).get("Spec", {}).get("Role") != "worker":
        report.fault("a worker's token made something else than a worker")
    refused("a worker that asks for what managers know", 4, "node", "ls", says="not a swarm manager|manager")
    refused("the last manager's demotion", 1, "node", "demote", "node1", says="last manager|quorum|only manager")
    refused("the last manager's removal", 1, "node", "rm", "node1", says="manager|demote|down")
    refused("the last manager's removal by force", 1, "node", "rm", "--force", "node1", says="last|quorum|manager")
    refused("the last manager's leaving", 1, "swarm", "leave", says="last manager|force|manager")
    refused("the removal of a node that is up", 1, "node", "rm", "node4", says="not down|down")
    refused("a promotion of nobody", 1, "node", "promote", "node9", says="node9|not found")

    ground.size = 4
    ground.kill(4)
    def down():
        return ground.listed().get(4, {}).get("Status", {}).get("State") == "down"
    wait_for(60, "node 4 to be down", down)
    since = now()
    status, out, err = ground.ctl(1, "node", "promote", "node4")
    report.note(f"a dead node's promotion, after {now() - since:.1f} s: status {status}: {err or out}")
    try:
        ground.create("after-promotion", replicas=0, network=None)
    except (Refused, OSError) as error:
        report.fault(f"after a dead node's promotion nothing can be written: {error}")
    ground.ctl(1, "node", "demote", "node4")
    status, out, err = ground.ctl(1, "node", "rm", "node4")
    if status != 0:
        report.fault(f"a dead node cannot be removed: {err}")
    ground.word("start", 4)
    time.sleep(3)
    if 4 in ground.listed():
        report.fault("a removed node is in the list again")
    state = ground.ctl(4, "info", "--format", "{{.Swarm.LocalNodeState}} {{.Swarm.Error}}")[1]
    report.note(f"the removed node, back again, is '{state}'")
    clocks(report, ground, worker)


def clocks(report, ground, worker):
    """A node whose clock is two hours off joins or says why not; a library shifts what its daemon reads."""
    library = f"/tmp/{ground.name}-clock.so"
    compiler = next((c for c in ("cc", "clang", "gcc") if shutil.which(c)), None)
    if not compiler:
        report.note("clocks: no C compiler for the library that shifts them; not shown")
        return
    source = os.path.join(HERE, "shifted-clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    for shift in (-7200, 7200):
        ground.word("kill", 6)
        wrap = f"env LD_PRELOAD={library} CLOCK_SHIFT={shift}"
        environment = ground.environment | {"DAEMON_WRAP": wrap}
        done = subprocess.run([ground.script, "start", "6"], env=environment, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        if done.returncode != 0:
            report.fault(f"a clock off by {shift} s: the daemon does not start: {done.stderr.strip()[:120]}")
            continue
        since = now()
        status, out, err = ground.ctl(6, "swarm", "join", "--token", worker, "--advertise-addr", ground.addresses[6],
                                      "198.18.0.11:2377", timeout=60)
        report.note(f"a clock off by {shift} s: join after {now() - since:.1f} s has status {status}: {err or out}")
        if status != 0 and not re.search("clock|time|date", err, re.I):
            report.fault(f"a clock off by {shift} s: the refusal does not speak of clocks: {err}")
        if status == 0:
            try:
                wait_for(20, "the node to be ready", lambda: any(
                    i == 6 and n["Status"]["State"] == "ready" for i, n in ground.listed().items()))
            except Late as error:
                report.fault(f"a clock off by {shift} s: joined, but {error!r}")
            ground.ctl(6, "swarm", "leave", "--force")
    os.unlink(library)
