"""The ground of every trial: a cluster of either engine, its API over unix sockets, and waiting with bounds."""
import contextlib, http.client, json, os, random, re, socket, subprocess, sys, threading, time, urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = {"ours": os.path.join(HERE, "..", "cluster"), "docker": os.path.join(HERE, "docker-cluster")}
now = time.monotonic


class Refused(Exception):
    """An answer of the engine that is not a success."""

    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Late(Exception):
    """Something awaited did not come within its bound."""


class Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("engine", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    """One node's Engine API. One connection, kept; not for two threads at once."""

    def __init__(self, path, timeout=10):
        self.path, self.timeout, self.connection = path, timeout, None

    def call(self, method, path, body=None, timeout=None):
        """The decoded answer. Raises Refused, or OSError when there was none: then the request may have been done."""
        timeout = timeout or self.timeout
        kept = self.connection is not None
        try:
            if not kept:
                self.connection = Unix(self.path, timeout)
            elif self.connection.sock:
                self.connection.sock.settimeout(timeout)
            data = None if body is None else json.dumps(body)
            self.connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            answer = self.connection.getresponse()
            text, status = answer.read(), answer.status
        except (OSError, http.client.HTTPException) as error:
            self.close()
            # A kept connection that was closed in the meantime says nothing about the daemon.
            if kept and method == "GET" and not isinstance(error, TimeoutError):
                return self.call(method, path, body, timeout)
            raise error if isinstance(error, OSError) else OSError(f"no answer: {error!r}") from error
        try:
            value = json.loads(text) if text.strip() else None
        except ValueError:
            value = text.decode(errors="replace")
        if status >= 300:
            raise Refused(status, value.get("message", value) if isinstance(value, dict) else value)
        return value

    def get(self, path, timeout=None, **filters):
        if filters:
            path += "?filters=" + urllib.parse.quote(json.dumps({k.replace("_", "-"): [v] for k, v in filters.items()}))
        return self.call("GET", path, timeout=timeout)

    def post(self, path, body=None, timeout=None):
        return self.call("POST", path, body if body is not None else {}, timeout)

    def delete(self, path, timeout=None):
        return self.call("DELETE", path, timeout=timeout)

    def close(self):
        if self.connection:
            with contextlib.suppress(Exception):
                self.connection.close()
        self.connection = None


def wait_for(seconds, what, condition, every=0.05):
    """The condition's first true value; errors of the engine count as "not yet"."""
    end, last = now() + seconds, None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (OSError, Refused) as error:
            last = error
        if now() > end:
            raise Late(f"waited {seconds} s for {what}; last: {last}")
        time.sleep(every)


class Ground:
    """A cluster of N nodes of one engine, made by its script and driven by the script's words."""

    def __init__(self, engine="ours", size=5, managers=None):
        self.engine, self.size = engine, size
        self.managers = list(range(1, (managers or (1 if size < 3 else 3)) + 1))
        self.script = SCRIPTS[engine]
        self.environment = dict(os.environ)
        self.environment.setdefault("CLUSTER_NAME", "trial")
        self.environment.setdefault("CLUSTER_DIR", f"/tmp/swarm-{self.environment['CLUSTER_NAME']}")
        self.addresses = {i: f"198.18.0.{10 + i}" for i in range(1, 10)}
        self.children, self.dead, self.kept = [], set(), False
        self.folder = self.environment["CLUSTER_DIR"]

    @property
    def name(self):
        return self.environment["CLUSTER_NAME"]

    def word(self, *words, timeout=180, check=True, input=None):
        """What the script prints."""
        done = subprocess.run([self.script, *map(str, words)], env=self.environment, timeout=timeout, input=input,
                              stdin=subprocess.DEVNULL if input is None else None, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode != 0:
            raise Refused(done.returncode, f"{' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout.strip()

    def ctl(self, node, *words, timeout=60):
        """(status, stdout, stderr) of the client against a node."""
        done = subprocess.run([self.script, "ctl", str(node), *map(str, words)], env=self.environment, timeout=timeout,
                              stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    def background(self, *words, **options):
        """A word that goes on: a process, ended with the ground."""
        child = subprocess.Popen([self.script, *map(str, words)], env=self.environment, stdin=subprocess.DEVNULL,
                                 **options)
        self.children.append(child)
        return child

    def __enter__(self):
        try:
            self.word("down")
            self.word("up", self.size, "--managers", len(self.managers), timeout=300)
        except BaseException:
            self.keep_logs()
            self.word("down", check=False)
            raise
        return self

    def __exit__(self, kind, value, trace):
        for child in self.children:
            with contextlib.suppress(Exception):
                child.terminate()
        for child in self.children:
            with contextlib.suppress(Exception):
                child.wait(5)
        if self.kept:
            print(f"the cluster stays: CLUSTER_NAME={self.name} CLUSTER_DIR={self.folder}", file=sys.stderr)
            return
        with contextlib.suppress(Exception):
            self.word("down")

    def keep_logs(self):
        """The daemons' logs outlive their cluster, until the next trial of the same name."""
        target = f"/tmp/trial-logs-{self.name}"
        subprocess.run(["bash", "-c", f"mkdir -p {target}; for d in {self.folder}/n*; do "
                        f"cp $d/log {target}/${{d##*/}}.log; done"], stderr=subprocess.DEVNULL)
        print(f"the daemons' logs: {target}", file=sys.stderr)

    def socket_of(self, node):
        return f"{self.folder}/n{node}/swarmd.sock"

    def api(self, node, timeout=10):
        return Api(self.socket_of(node), timeout)

    @property
    def nodes(self):
        return range(1, self.size + 1)

    @property
    def alive(self):
        return [i for i in self.nodes if i not in self.dead]

    @property
    def living_managers(self):
        return [i for i in self.managers if i not in self.dead]

    def ask(self, function, timeout=2):
        """function(api) at the first living manager that answers."""
        error = OSError("no manager lives")
        for node in random.sample(self.living_managers, len(self.living_managers)):
            api = self.api(node, timeout)
            try:
                return function(api)
            except OSError as failure:
                error = failure
            except Refused as failure:
                if failure.status < 500:
                    raise
                error = failure
            finally:
                api.close()
        raise error

    def listed(self):
        """node number -> its object."""
        return {int(n["Description"]["Hostname"][4:]): n for n in self.ask(lambda api: api.get("/nodes"))}

    def leader(self):
        found = [i for i, n in self.listed().items() if n.get("ManagerStatus", {}).get("Leader")]
        return found[0] if len(found) == 1 and found[0] not in self.dead else None

    def settled(self, seconds=60):
        """Every living node is Ready and there is one leader; its number."""
        def condition():
            nodes = self.listed()
            ready = {i for i, n in nodes.items() if n["Status"]["State"] == "ready"}
            reachable = {i for i, n in nodes.items() if n.get("ManagerStatus", {}).get("Reachability") == "reachable"}
            missing = set(self.alive) - ready, set(self.living_managers) - reachable
            return self.leader() if not any(missing) else 0
        return wait_for(seconds, "all nodes to be ready", condition, 0.1)

    def unplug(self, node):
        subprocess.run(["ip", "-n", f"{self.name}-lan", "link", "set", f"p-node{node}", "down"], check=True)

    def kill(self, node):
        self.dead.add(node)
        self.word("kill", node)

    def start(self, node, address=None):
        self.word("start", node, *(["--address", address] if address else []))
        self.addresses[node] = address or self.addresses[node]
        self.dead.discard(node)

    # Services

    def network(self, name="app"):
        self.ask(lambda api: api.post("/networks/create", {"Name": name, "Driver": "overlay", "Attachable": True}), 30)

    def create(self, name, api=None, **options):
        body = service(name, **options)
        return (api.post("/services/create", body) if api else
                self.ask(lambda api: api.post("/services/create", body), 30))["ID"]

    def tasks(self, *services, api=None, timeout=2):
        """The tasks that are wanted running, of some services by name or of all."""
        def read(api):
            found = []
            for name in services or [None]:
                filters = {"desired_state": "running"}
                if name:
                    filters["service"] = name
                found += api.get("/tasks", **filters)
            return found
        return read(api) if api else self.ask(read, timeout)

    def run_all(self, seconds, **wanted):
        """Waits until each service has its number of running tasks; the tasks."""
        def condition():
            tasks = [t for name in wanted for t in self.tasks(name)]
            running = [t for t in tasks if t["Status"]["State"] == "running"]
            return running if len(running) == sum(wanted.values()) else None
        return wait_for(seconds, f"{wanted} to run", condition)

    def remove(self, *names, seconds=60):
        """Removes services and waits until none of their containers is left."""
        for name in names:
            with contextlib.suppress(Refused):
                self.ask(lambda api: api.delete(f"/services/{name}"), 30)
        def gone():
            return not any(c for i in self.alive for c in containers(self.api(i))
                           if c["Labels"].get("com.docker.swarm.service.name") in names)
        wait_for(seconds, f"the containers of {names} to go", gone, 0.1)

    def numbers(self):
        """node id -> number."""
        return {n["ID"]: i for i, n in self.listed().items()}


def containers(api, every=False):
    return api.get("/containers/json" + ("?all=1" if every else ""))


def processes(ground, nodes=None):
    """container id -> (node, task id, slot name, process id) of the running containers of services."""
    found = {}
    for node in nodes or ground.alive:
        api = ground.api(node)
        for c in containers(api):
            labels = c["Labels"]
            if "com.docker.swarm.task.id" in labels:
                state = api.get(f"/containers/{c['Id']}/json")["State"]
                slot = labels["com.docker.swarm.task.name"].rsplit(".", 1)[0]
                found[c["Id"]] = (node, labels["com.docker.swarm.task.id"], slot, state["Pid"])
        api.close()
    return found


WHO = "echo $WHO >/www/index.html; exec httpd -f -p 80 -h /www"


def service(name, replicas=None, network="app", mode="vip", published=None, command=None, constraints=(), env=(),
            secrets=(), configs=(), labels=None, delay=None):
    """A service's specification; its tasks answer HTTP with NODE SERVICE.SLOT TASK unless they have a command."""
    container = {"Image": "busybox:latest", "StopSignal": "SIGKILL",
                 "Env": ["WHO={{.Node.Hostname}} {{.Task.Name}}", *env],
                 "Args": command or ["sh", "-c", WHO]}
    file = {"UID": "0", "GID": "0", "Mode": 0o444}
    if configs:
        container["Configs"] = [{"ConfigID": i, "ConfigName": n, "File": file | {"Name": "/" + n}} for i, n in configs]
    if secrets:
        container["Secrets"] = [{"SecretID": i, "SecretName": n, "File": file | {"Name": n}} for i, n in secrets]
    task = {"ContainerSpec": container, "Placement": {"Constraints": list(constraints)}}
    if network:
        task["Networks"] = [{"Target": network, "Aliases": [name]}]
    if delay is not None:
        task["RestartPolicy"] = {"Condition": "any", "Delay": int(delay * 1e9)}
    endpoint = {"Mode": mode}
    if published:
        endpoint["Ports"] = [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": published,
                              "PublishMode": "ingress"}]
    return {"Name": name, "Labels": labels or {}, "TaskTemplate": task, "EndpointSpec": endpoint,
            "Mode": {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}}


def addresses(task, network=None):
    """A task's addresses, without the prefix length."""
    return [a.split("/")[0] for attachment in task.get("NetworksAttachments") or []
            if network is None or attachment["Network"]["Spec"]["Name"] == network for a in attachment["Addresses"]]


def stamp(text):
    """Seconds since 1970 of an RFC 3339 time."""
    import datetime
    head, fraction = re.match(r"(\d+-\d+-\d+T\d+:\d+:\d+)(\.\d+)?Z", text).groups()
    whole = datetime.datetime.strptime(head, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc).timestamp()
    return whole + float(fraction or 0)


class Probe:
    """probe.py in the network of the `probe` task on a node: what it saw, with the time of each question."""

    def __init__(self, ground, node, names, vips, every=0.01, vip_every=0.02, task="probe"):
        self.node, self.events, self.summary = node, [], {}
        arguments = [sys.executable, os.path.join(HERE, "probe.py"), "--every", str(every),
                     "--vip-every", str(max(every, vip_every))]
        arguments += [x for name in names for x in ("--name", name)] + [x for vip in vips for x in ("--vip", vip)]
        self.child = ground.background("enter", node, task, *arguments, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.child.stdout:
            event = json.loads(line)
            if event["kind"] == "summary":
                self.summary = event
            else:
                self.events.append(event)

    def stop(self):
        with contextlib.suppress(Exception):
            self.child.terminate()
            self.child.wait(5)
        self.thread.join(5)

    def clean(self, since, gone):
        """Seconds from `since` until no answer names one of the addresses `gone` any more; None if one still does."""
        last = {}
        clean = 0.0
        for name in {e["name"] for e in self.events if e["kind"] == "dns"}:
            events = [e for e in self.events if e["kind"] == "dns" and e["name"] == name]
            dirty = [n for n, e in enumerate(events) if set(e["answer"] or []) & gone]
            if not dirty:
                continue
            if dirty[-1] + 1 == len(events):
                return None
            clean = max(clean, events[dirty[-1] + 1]["at"] - since)
        return clean

    def failures(self, kind=None):
        return [e for e in self.events if e["kind"] == "vip" and e["error"] and (kind is None or e["error"] == kind)]

    def quiet(self, since):
        """Seconds from `since` until the start of the last question to a VIP that failed."""
        # A refusal comes from a task that is there and does not listen yet; the dead are silent.
        failed = [e["at"] for e in self.failures() if e["at"] >= since and e["error"] != "refused"]
        return max(0.0, max(failed) - since) if failed else 0.0
