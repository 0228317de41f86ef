#!/usr/bin/env python3
"""Random and mutated requests at the wire of a daemon: never a trap, a hang or a leak.

  Scripts/fuzz api [SECONDS [SEED]]       the kept corpus, then SECONDS (600) of new cases
  Scripts/fuzz api --replay FILE...       only these files

A one-node cluster of Scripts/cluster ($SWARM_BIN's binaries) with services, containers, networks, files and volumes is
asked over its Unix socket. What was found is told with its seed and bytes and kept in Tests/ClusterTests/Corpus, one
file each; the exit status is 1 then. Every 30 s everything pauses and the daemon is measured.
"""
import collections
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import cases
import routes
import wire

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = ROOT / "Tests/ClusterTests/Corpus"
CLUSTER = str(ROOT / "Scripts/cluster")
WORKERS = 6
CHECK_SECONDS = 30
# What may stand open more than at the start, with everything paused and removed that the cases made.
SPARE = {"descriptors": 16, "threads": 8, "mounts": 4, "links": 4, "children": 8}
SETTLE_SECONDS = 60
# The allocator keeps what a burst of large bodies took; a leak goes beyond that and on.
SPARE_MIB = 300
ESCAPE = "/fuzz-escape"
TRAP = re.compile(r"Fatal error|Precondition failed|Illegal instruction|Segmentation fault|Crash:|\bcrashed\b|Current stack trace|AddressSanitizer|leaked|Double free|corrupted")


class Daemon:
    def __init__(self):
        os.environ.setdefault("CLUSTER_NAME", f"fz{os.getpid()}")
        os.environ.setdefault("CLUSTER_DIR", f"/tmp/swarm-fuzz-{os.getpid()}")
        os.environ.setdefault("DAEMON_WRAP", "env SWIFT_BACKTRACE=enable=yes,color=no,interactive=no,images=none")
        self.dir = pathlib.Path(os.environ["CLUSTER_DIR"]) / "n1"
        self.path = str(self.dir / "swarmd.sock")
        self.kept = {}
        self.log_at = 0

    def cluster(self, *words, check=True, seconds=180):
        return subprocess.run([CLUSTER, *words], check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds).stdout

    def up(self):
        print("fuzz: starting a node", flush=True)
        self.cluster("up", "1")
        self.life = self.alive()
        self.fill()
        self.task = self.sentinel()

    def down(self):
        self.cluster("down", check=False)

    def alive(self):
        """The daemon's process and the moment of its birth; None when there is none."""
        try:
            pid = int((self.dir / "swarmd.pid").read_text())
            return pid, (pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split())[19]
        except (OSError, ValueError, IndexError):
            return None

    def must(self, method, target, document=None, seconds=20):
        status, answer = wire.ask(self.path, method, target, document, seconds)
        if status >= 400:
            raise RuntimeError(f"{method} {target}: {status} {answer}")
        return answer

    def fill(self):
        """Makes the objects that cases name, as far as they are missing."""
        def missing(target):
            return wire.ask(self.path, "GET", target)[0] == 404
        for name, driver in (("net", "overlay"), ("lan", "bridge")):
            if missing(f"/networks/{name}"):
                self.must("POST", "/networks/create", {"Name": name, "Driver": driver, "Attachable": True})
        for kind, name in (("secrets", "sec"), ("configs", "conf")):
            if missing(f"/{kind}/{name}"):
                self.must("POST", f"/{kind}/create", {"Name": name, "Data": "c2VjcmV0"})
        if missing("/volumes/vol"):
            self.must("POST", "/volumes/create", {"Name": "vol"})
        container = {"Image": "busybox:latest", "Command": ["sh", "-c"], "Args": ["trap exit TERM; echo started; while :; do sleep 1; done"], "Init": False}
        for name, replicas in (("sentinel", 1), ("web", 2), ("target", 0)):
            if missing(f"/services/{name}"):
                self.must("POST", "/services/create", {"Name": name, "TaskTemplate": {"ContainerSpec": container, "Networks": [{"Target": "net"}] if name == "web" else []},
                                                       "Mode": {"Replicated": {"Replicas": replicas}}})
        if missing("/containers/solo/json"):
            self.must("POST", "/containers/create?name=solo", {"Image": "busybox:latest", "Cmd": ["sh", "-c", "trap exit TERM; while read line; do echo $line; done"], "OpenStdin": True, "StopTimeout": 1})
        status, answer = wire.ask(self.path, "GET", "/containers/solo/json")
        if status == 200 and answer["State"]["Paused"]:
            wire.ask(self.path, "POST", "/containers/solo/unpause", None, 45)
        if status == 200 and not answer["State"]["Running"]:
            wire.ask(self.path, "POST", "/containers/solo/start", None, 45)
        if missing("/containers/quick/json"):
            self.must("POST", "/containers/create?name=quick", {"Image": "busybox:latest", "Cmd": ["true"]})
        self.must("POST", "/images/busybox:latest/tag?repo=fuzz&tag=tag")

    def empty(self):
        """Removes what the cases made."""
        ask = lambda *words: wire.ask(self.path, *words, seconds=60)
        def listed(target, key=None):
            answer = ask("GET", target)[1]
            return (answer[key] if key else answer) or []
        for service in listed("/services"):
            if service["Spec"]["Name"] not in ("sentinel", "web", "target"):
                ask("DELETE", f"/services/{service['ID']}")
        for box in listed("/containers/json?all=1"):
            if "com.docker.swarm.task.id" not in box["Labels"] and box["Names"] not in (["/solo"], ["/quick"]):
                ask("DELETE", f"/containers/{box['Id']}?force=1&v=1")
        for network in listed("/networks"):
            if network["Name"] not in ("net", "lan", "ingress", "bridge", "host", "none", "docker_gwbridge"):
                ask("DELETE", f"/networks/{network['Id']}")
        for kind, kept in (("secrets", "sec"), ("configs", "conf")):
            for file in listed(f"/{kind}"):
                if file["Spec"]["Name"] != kept:
                    ask("DELETE", f"/{kind}/{file['ID']}")
        swarm = ask("GET", "/swarm")[1]
        ask("POST", f"/swarm/update?version={swarm['Version']['Index']}", {key: value for key, value in routes.CLUSTER.items() if key != "CAConfig"})
        for node in listed("/nodes"):
            if node["Spec"] != {"Role": "manager", "Availability": "active"}:
                ask("POST", f"/nodes/{node['ID']}/update?version={node['Version']['Index']}", {"Role": "manager", "Availability": "active"})
        for volume in listed("/volumes", "Volumes"):
            if volume["Name"] != "vol":
                ask("DELETE", f"/volumes/{volume['Name']}?force=1")
        for image in listed("/images/json"):
            if "busybox:latest" not in (image["RepoTags"] or []):
                ask("DELETE", f"/images/{image['Id']}?force=1")
            for tag in image["RepoTags"] or []:
                if tag not in ("busybox:latest", "fuzz:tag"):
                    ask("DELETE", f"/images/{tag}")

    def sentinel(self):
        """The one running task of the sentinel, once there is one."""
        deadline = time.monotonic() + 30
        while True:
            tasks = [t for t in self.must("GET", "/tasks?filters=" + "%7B%22service%22%3A%5B%22sentinel%22%5D%7D") if t["Status"]["State"] == "running"]
            if tasks:
                return tasks[0]["ID"], tasks[0]["Status"]["ContainerStatus"]["PID"]
            if time.monotonic() > deadline:
                raise TimeoutError("the sentinel does not run")
            time.sleep(0.1)

    def probe(self):
        """The seconds that a ping and a config take."""
        began = time.monotonic()
        wire.ask(self.path, "GET", "/_ping", None, 10)
        made = self.must("POST", "/configs/create", {"Name": f"probe{random.random()}", "Data": "eA=="})
        self.must("DELETE", f"/configs/{made['ID']}")
        return round(time.monotonic() - began, 2)

    def resolve(self, data):
        """Fills in what only the daemon knows."""
        def fill(hole):
            kind, about = hole[1].decode(), (hole[2] or b"").decode("latin-1")
            try:
                if kind == "EXEC":
                    return wire.ask(self.path, "POST", "/containers/solo/exec", routes.EXEC, 10)[1]["Id"].encode()
                if kind == "VERSION":
                    return str(wire.ask(self.path, "GET", about, None, 10)[1]["Version"]["Index"]).encode()
                if about not in self.kept:
                    self.kept[about] = wire.ask(self.path, "GET", about, None, 10)[1]["ID"].encode()
                return self.kept[about]
            except (KeyError, TypeError, TimeoutError):
                return b"x" * cases.LENGTHS.get(kind, 1)
        return cases.HOLE.sub(fill, data) if b"{{" in data else data

    def measures(self):
        pid = self.life[0]
        proc = pathlib.Path(f"/proc/{pid}")
        memory = int(re.search(r"VmRSS:\s+(\d+)", (proc / "status").read_text())[1]) / 1024
        below = subprocess.run(["pgrep", "-c", "-P", str(pid)], stdout=subprocess.PIPE, text=True).stdout
        return {"descriptors": len(os.listdir(proc / "fd")), "threads": len(os.listdir(proc / "task")), "mounts": len((proc / "mountinfo").read_text().splitlines()),
                "links": len((proc / "net/dev").read_text().splitlines()), "children": int(below or 0), "MiB": round(memory)}

    def new_log(self):
        with open(self.dir / "log", errors="replace") as log:
            log.seek(self.log_at)
            text = log.read()
            self.log_at = log.tell()
        return text


class Fuzz:
    def __init__(self, seed):
        self.seed = seed
        self.maker = cases.Maker(seed)
        self.daemon = Daemon()
        self.recent = collections.deque()  # (time, name, case) of the last second
        self.lock = threading.Lock()
        self.findings = {}
        self.statuses, self.outcomes, self.failures = collections.Counter(), collections.Counter(), collections.Counter()
        self.slowest = {}
        self.index = 0
        self.dead = threading.Event()

    # Findings.

    def found(self, what, name, case):
        """Tells of a finding once for each kind of it."""
        key = shape(what)[:120]
        with self.lock:
            if key in self.findings:
                self.findings[key] += 1
                return
            self.findings[key] = 1
        print(f"FOUND {what}\n   seed {self.seed}, case {name}", flush=True)
        if case:
            self.keep(name, case, what)

    def keep(self, name, case, what):
        CORPUS.mkdir(exist_ok=True)
        path = CORPUS / f"{re.sub(r'[^A-Za-z0-9-]', '-', str(name))}.json"
        path.write_text(json.dumps({"why": what[:300], **written(case)}, indent=1) + "\n")
        for step in case["steps"][:6]:
            print("   ", step[0], *(repr(argument)[:1500] for argument in step[1:]), flush=True)
        print(f"   kept as {path.relative_to(ROOT)}", flush=True)

    # Cases.

    def run_case(self, name, case):
        now = time.monotonic()
        with self.lock:
            self.recent.append((now, name, case))
            while self.recent and self.recent[0][0] < now - 1 and len(self.recent) > WORKERS:
                self.recent.popleft()
        outcome, answers, seconds = wire.play(self.daemon.path, case, self.daemon.resolve)
        with self.lock:
            self.outcomes[case["kind"], outcome] += 1
            for status, _, body in answers.done:
                self.statuses[status] += 1
                if status >= 500:
                    self.failures[status, shape(body.decode("utf-8", "replace"))[:150]] += 1
            if seconds > self.slowest.get(case["kind"], (0,))[0]:
                self.slowest[case["kind"]] = (seconds, name)
        if outcome == "gone" or (outcome == "closed" and self.daemon.alive() != self.daemon.life):
            self.dead.set()
            return
        fault = wire.judged(answers, case)
        if outcome == "hang":
            fault = fault or f"no answer and no end within {case.get('patience', 20)} s ({case['kind']}: {case['steps'][0][1][:80]!r})"
        elif outcome == "closed" and case.get("expected") and len(answers.done) < case["expected"] and not case.get("follows") and not closes(answers):
            fault = fault or f"closed after {len(answers.done)} of {case['expected']} answers ({case['kind']}: {case['steps'][0][1][:80]!r})"
        if fault:
            self.found(fault, name, case)

    def work(self, deadline):
        while time.monotonic() < deadline and not self.dead.is_set():
            with self.lock:
                index, self.index = self.index, self.index + 1
            self.run_case(f"{self.seed}-{index}", self.maker.case(index))

    def revive(self):
        """After the daemon's death: finds the case that did it, keeps it, and starts the daemon again."""
        suspects = list(self.recent)
        print(f"FOUND the daemon died; seed {self.seed}, suspects {', '.join(str(name) for _, name, _ in suspects)}", flush=True)
        log = self.daemon.new_log()
        at = TRAP.search(log)
        print("   " + "\n   ".join((log[at.start():] if at else log[-1500:]).splitlines()[:40]), flush=True)
        self.findings[f"death {len(self.findings)}"] = 1
        self.restart()
        for _, name, case in suspects:
            wire.play(self.daemon.path, case, self.daemon.resolve)
            time.sleep(0.2)
            if self.daemon.alive() != self.daemon.life:
                self.keep(f"trap-{name}", case, "the daemon died")
                self.restart()
                return
        print("   no case of the last second does it alone", flush=True)
        for _, name, case in suspects:
            self.keep(f"suspect-{name}", case, "the daemon died in the second of this case")

    def restart(self):
        self.daemon.cluster("start", "1")
        self.daemon.life = self.daemon.alive()
        self.dead.clear()
        self.daemon.kept.clear()
        self.daemon.fill()
        self.daemon.task = self.daemon.sentinel()
        self.daemon.new_log()

    # Checks.

    def check(self, start):
        """Everything stands still: is the daemon as it was?"""
        daemon = self.daemon
        name = f"{self.seed} before {self.index}"
        if daemon.alive() != daemon.life:
            return self.revive()
        try:
            took = [daemon.probe()]
            # Other work on this machine may have been in the way once, hardly three times.
            while took[-1] > 2 and len(took) < 3:
                took.append(daemon.probe())
            if took[-1] > 2:
                self.found(f"a ping and a config took {took} s", name, None)
            daemon.empty()
            daemon.fill()
            if daemon.sentinel() != daemon.task:
                self.found(f"the sentinel's task is {daemon.sentinel()} and was {daemon.task}", name, None)
                daemon.task = daemon.sentinel()
            listed = daemon.cluster("docker", "1", "ps", seconds=10)
            if "sentinel.1" not in listed:
                self.found(f"docker ps does not show the sentinel: {listed}", name, None)
        except (TimeoutError, subprocess.SubprocessError, RuntimeError, KeyError, TypeError) as error:
            self.found(f"the daemon does not work any more: {error!r}", name, None)
        if os.path.exists(ESCAPE) or os.path.exists("/tmp" + ESCAPE):
            self.found(f"an archive wrote {ESCAPE} outside its container", name, None)
        trap = TRAP.search(log := daemon.new_log())
        if trap:
            self.found(f"the log says: {log[max(0, trap.start() - 200):trap.end() + 300]}", name, None)
        return self.settled(start, name)

    def settled(self, start, name):
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            now = self.daemon.measures()
            over = [key for key, spare in SPARE.items() if start and now[key] > start[key] + spare]
            if not over or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        if over:
            self.found(f"{', '.join(over)} are more than at the start: {now}, then {start}", name, None)
        if start and now["MiB"] > start["MiB"] + SPARE_MIB:
            self.found(f"the memory grew from {start['MiB']} to {now['MiB']} MiB", name, None)
        return now

    def replay(self, paths):
        for path in paths:
            case = read(json.loads(pathlib.Path(path).read_text()))
            for _ in range(case.get("times", 1)):
                self.run_case(pathlib.Path(path).stem, case)
            time.sleep(0.02)
            if self.dead.is_set() or self.daemon.alive() != self.daemon.life:
                self.dead.set()
                self.revive()
        print(f"fuzz: {len(paths)} kept cases replayed", flush=True)

    def run(self, kept, seconds):
        self.round(min(3, seconds))  # every pool and cache has its size
        start = self.check(None)
        print(f"fuzz: seed {self.seed}, {len(self.maker.routes)} routes, at the start {start}", flush=True)
        self.replay(kept)
        self.check(start)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.round(min(CHECK_SECONDS, end - time.monotonic()))
            now = self.check(start)
            print(f"fuzz: {self.index} cases, {now}", flush=True)

    def round(self, seconds):
        deadline = time.monotonic() + seconds
        workers = [threading.Thread(target=self.work, args=(deadline,)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if self.dead.is_set():
            self.revive()

    def report(self):
        by_kind = collections.defaultdict(dict)
        for (kind, outcome), count in sorted(self.outcomes.items()):
            by_kind[kind][outcome] = count
        for kind, counts in by_kind.items():
            print(f"  {kind:9} {counts}, slowest {self.slowest[kind][0]:.1f} s ({self.slowest[kind][1]})" if kind in self.slowest else f"  {kind:9} {counts}")
        print(f"  statuses {dict(sorted(self.statuses.items()))}")
        for (status, text), count in self.failures.most_common(25):
            print(f"  {count:5} x {status} {text}")
        print(f"fuzz: seed {self.seed}, {sum(self.outcomes.values())} cases, {len(self.findings)} kinds of findings")
        for what, count in self.findings.items():
            print(f"  {count} x {what}")


def shape(text):
    """The text without what differs from one run to the next."""
    return re.sub(r"[0-9a-f]{12,}|[0-9a-z]{25}|\d+|(x|%61){9,}", "#", text.strip())


def closes(answers):
    """Whether the daemon said that it would close, or a stream broke: what it tells has failed half-way, and only the end can say so."""
    return answers.head is not None and b"transfer-encoding" in answers.head[1] or any(fields.get(b"connection", b"").lower() == b"close" for _, fields, _ in answers.done)


def written(case):
    """A case as JSON: bytes as Latin-1, long runs of one byte as [byte, count]."""
    def pieces(data):
        parts = []
        for run in re.finditer(rb"(.)\1{23,}|(?:(?!(.)\2{23}).)+", data, re.DOTALL):
            text = run[0].decode("latin-1")
            parts.append([text[0], len(text)] if run[1] else text)
        return parts
    return {**case, "steps": [[step, *(pieces(a) if isinstance(a, bytes) else [a] for a in rest)] for step, *rest in case["steps"]]}


def read(document):
    def whole(parts):
        return b"".join((part if isinstance(part, str) else part[0] * part[1]).encode("latin-1") for part in parts)
    return {**document, "steps": [[step, whole(rest[0])] if step == "send" else [step, *(a[0] for a in rest)] for step, *rest in document["steps"]]}


def main():
    arguments = sys.argv[1:]
    if any(word in ("-h", "--help") for word in arguments):
        print(__doc__)
        return 0
    kept = sorted(CORPUS.glob("*.json")) if CORPUS.is_dir() else []
    only = arguments[:1] == ["--replay"]
    seconds, seed = (0, 0) if only else (int(arguments[0]) if arguments else 600, int(arguments[1]) if len(arguments) > 1 else random.randrange(1 << 32))
    fuzz = Fuzz(seed)
    try:
        fuzz.daemon.up()
        fuzz.run(arguments[1:] if only else kept, seconds)
    finally:
        fuzz.daemon.down()
    fuzz.report()
    return 1 if fuzz.findings else 0


if __name__ == "__main__":
    sys.exit(main())
