"""Nodes die, are cut off, are paused: how long others notice, and what must not happen meanwhile."""
import collections, os, random, subprocess, sys, threading, time
from ground import HERE, Late, Probe, Refused, addresses, now, processes, wait_for


class Load(Probe):
    """Requests at a rate through the published port of every node, from outside."""

    def __init__(self, ground, rate, port=8080):
        ground.word("client", "sh", "-c", "echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range")
        self.targets = {f"{ground.addresses[i]}:{port}": i for i in ground.nodes}
        self.events, self.summary, self.node = [], {}, 0
        arguments = [x for target in self.targets for x in ("--vip", target)]
        self.child = ground.background("client", sys.executable, os.path.join(HERE, "probe.py"), "--every",
                                       str(1 / rate), *arguments, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def tell(self, report, label, gone=(), since=0.0, until=float("inf")):
        """Counts what failed through nodes that were there, and what through the nodes `gone` between the two times."""
        kinds, excused = collections.Counter(), 0
        spans = {}                          # (node, error) -> how many, and the first and the last
        for event in self.failures():
            node = self.targets[event["name"]]
            if node in gone and since <= event["at"] <= until:
                excused += 1
            else:
                kinds[event["error"]] += 1
                count, first, _ = spans.get((node, event["error"]), (0, event["at"] - since, 0))
                spans[node, event["error"]] = count + 1, first, event["at"] - since
        failed = sum(kinds.values())
        report.value(f"{label}: failed requests", failed, unit="requests")
        report.value(f"{label}: slower than 100 ms", self.summary.get("vip_slow", 0), unit="requests")
        report.note(f"{label}: {self.summary.get('vip_asked', 0)} requests, failed {dict(kinds) or 0}; "
                    f"{excused} more through the lost node itself")
        for (node, error), (count, first, last) in sorted(spans.items()):
            report.note(f"{label}: through node {node}: {count} {error}, from {first:.1f} s to {last:.1f} s after it")
        return failed


def lay_out(ground, web=10, rr=5, constraints=()):
    """The services of a round: web behind an address and a published port, rr by round robin, probe on every node."""
    docker = ground.engine == "docker"
    ground.create("web", replicas=web, mode="dnsrr" if docker else "vip", published=None if docker else 8080, delay=0,
                  constraints=constraints)
    ground.create("rr", replicas=rr, mode="dnsrr", delay=0, constraints=constraints)
    return ground.run_all(90, web=web, rr=rr, probe=len(ground.alive))


def on(ground, tasks, node):
    numbers = ground.numbers()
    return [t for t in tasks if numbers.get(t["NodeID"]) == node]


def probes(ground, nodes, every=0.02):
    if ground.engine == "docker":
        found = [Probe(ground, i, ["tasks.web", "rr"], [], every=every) for i in nodes]
    else:
        found = [Probe(ground, i, ["tasks.web", "rr", "web"], ["web:80"], every=every) for i in nodes]
    def started():
        return all(any(e["kind"] == "dns" and e["name"] == "rr" and e["answer"] for e in p.events) for p in found)
    wait_for(20, "the probes to see names", started)
    return found


def first_write(ground, victim, since, name, bound=120):
    """Seconds from `since` until a service is created through a manager other than the victim."""
    manager = random.choice([m for m in ground.managers if m != victim])
    while now() - since < bound:
        api = ground.api(manager, 5)
        try:
            ground.create(name, api, replicas=0, network=None)
            return now() - since
        except Refused as refusal:
            # It was agreed on, and only the answer to the first attempt was lost.
            if refusal.status == 409:
                return now() - since
            time.sleep(0.01)
        except OSError:
            time.sleep(0.01)
        finally:
            api.close()
    return None


def replaced(ground, lost, wanted, since, bound):
    """Seconds from `since` until all tasks that are wanted run, none of those that were lost among them."""
    while now() - since < bound:
        try:
            running = [t for name in wanted for t in ground.tasks(name, timeout=1)
                       if t["Status"]["State"] == "running" and t["ID"] not in lost]
            if len(running) == sum(wanted.values()):
                return now() - since
        except (OSError, Refused):
            pass
        time.sleep(0.03)
    return None


def death(report, ground, options, of_leader, silence=0):
    """One round: the node dies, or falls silent for some seconds and heals."""
    tasks = lay_out(ground)
    leader = ground.settled()
    victim = leader if of_leader else random.choice([i for i in ground.nodes if i not in ground.managers])
    lost = on(ground, tasks, victim)
    gone = {a for t in lost for a in addresses(t, "app")}
    healthy = processes(ground, [i for i in ground.alive if i != victim])
    others = [i for i in ground.nodes if i != victim]
    wanted, bound = {"web": 10, "rr": 5}, 120 if ground.engine == "docker" else 60
    watchers = probes(ground, others)
    load = Load(ground, options.rate) if options.rate else None
    time.sleep(1)
    results, threads = {}, []
    ground.dead.add(victim)
    if silence:
        ground.word("cut", victim)
        since = now()
    else:
        # The cable goes first and at once; the rest of the node dies with the word, which takes a moment to start.
        ground.unplug(victim)
        since = now()
        threads.append(threading.Thread(target=ground.kill, args=(victim,)))
    threads += [
        threading.Thread(target=lambda: results.update(
            write=first_write(ground, victim, since, f"written{since:.0f}"))),
        threading.Thread(target=lambda: results.update(
            replaced=replaced(ground, {t["ID"] for t in lost}, wanted, since, bound)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Long enough to see answers that come back.
    time.sleep(max(3, silence - (now() - since)))
    what = "cut" if silence else "death"
    report.value(f"{what} to a write through another manager", results.get("write"), 2)
    report.value(f"{what} to running replacements", results.get("replaced"), 5)
    until = float("inf")
    if silence:
        heal(report, ground, victim, {t["ID"] for t in lost}, watchers)
        until = now()
    for watcher in watchers:
        watcher.stop()
    clean = [w.clean(since, gone) for w in watchers]
    report.value(f"{what} to clean names on all other nodes", None if None in clean else max(clean), 2)
    if ground.engine == "ours":
        report.value(f"{what} to a clean VIP on all other nodes", max(w.quiet(since) for w in watchers), 2)
        asked = sum(w.summary.get("vip_asked", 0) for w in watchers)
        failed = collections.Counter(e["error"] for w in watchers for e in w.failures())
        report.note(f"of {asked} requests to the VIP failed {dict(failed) or 0}")
        for w in watchers:
            for event in w.failures():
                if not 0 <= event["at"] - since <= 2:
                    moment = time.strftime("%H:%M:%S", time.gmtime(time.time() - now() + event["at"]))
                    report.note(f"node {w.node}, {event['at'] - since:.2f} s after: {event['error']} ({moment})")
    report.value("names unanswered on all other nodes", sum(w.summary.get("dns_failed", 0) for w in watchers), 0,
                 "questions")
    asked = sum(w.summary.get("dns_asked", 0) for w in watchers)
    report.note(f"node {victim} lost {len(lost)} tasks; {asked} names asked")
    if load:
        load.stop()
        load.tell(report, what, {victim}, since, until)
    after = processes(ground, others)
    for identifier, entry in healthy.items():
        if identifier not in after or after[identifier][3] != entry[3]:
            report.fault(f"the healthy container of {entry[2]} on node {entry[0]} did not stay")
    if not silence:
        ground.start(victim)
    ground.settled()
    written = [s["Spec"]["Name"] for s in ground.ask(lambda api: api.get("/services"))]
    ground.remove("web", "rr", *[name for name in written if name.startswith("written")])
    ground.run_all(60, probe=ground.size)


def heal(report, ground, victim, lost, watchers):
    """The cut node comes back: its old tasks stop, and no slot answers twice."""
    healed = now()
    ground.word("heal", victim)
    def old():
        return [c for c in processes(ground, [victim]).values() if c[1] in lost]
    before = len(old())
    try:
        wait_for(60, "the old tasks to stop", lambda: not old(), 0.02)
        report.value("healing to the old tasks' stop", now() - healed, 1)
    except Late:
        report.value("healing to the old tasks' stop", None, 1)
    report.note(f"{before} old tasks ran on node {victim} when it healed")
    ground.dead.discard(victim)
    report.value("healing to ready", (ground.settled(60) and now() - healed) or None)
    time.sleep(5)
    slots = collections.Counter(c[2] for c in processes(ground).values() if not c[2].startswith("probe."))
    for slot, count in slots.items():
        if count > 1:
            report.fault(f"{count} containers of {slot} run after healing")


def prepare(ground):
    ground.network()
    ground.create("probe", command=["sleep", "1000000"])
    ground.run_all(60, probe=ground.size)


def rounds(report, ground, options, play):
    prepare(ground)
    for number in range(1, options.count + 1):
        report.round(number, options.count)
        play()


def leader_death(report, ground, options):
    rounds(report, ground, options, lambda: death(report, ground, options, True))


def worker_death(report, ground, options):
    rounds(report, ground, options, lambda: death(report, ground, options, False))


def worker_cut(report, ground, options):
    rounds(report, ground, options, lambda: death(report, ground, options, False, options.seconds or 60))


def load(report, ground, options):
    """Requests through every node's published port while a leader dies, a worker dies and a leader is paused."""
    options.rate = options.rate or 300
    prepare(ground)
    for number in range(1, options.count + 1):
        report.round(number, options.count)
        death(report, ground, options, True)
        death(report, ground, options, False)
        pause(report, ground, options)


class Register:
    """One value behind a service's label: written through some managers, read through all, none of the reads stale."""

    def __init__(self, ground, writers, readers, report):
        self.ground, self.report, self.name = ground, report, f"register{random.randrange(10**6)}"
        self.acknowledged, self.attempted, self.reads, self.gaps, self.errors = 0, 0, 0, [], collections.Counter()
        self.stopped = False
        ground.create(self.name, replicas=0, network=None, labels={"n": "0"})
        self.threads = [threading.Thread(target=self.write, args=(writers,), daemon=True)]
        self.threads += [threading.Thread(target=self.read, args=(i,), daemon=True) for i in readers]
        for thread in self.threads:
            thread.start()

    def write(self, managers):
        apis = [self.ground.api(i, 5) for i in managers]
        last, turn = now(), 0
        while not self.stopped:
            api, turn = apis[turn % len(apis)], turn + 1
            self.attempted = self.acknowledged + 1
            try:
                # The read tells whether a write whose answer was lost has happened.
                found = api.get(f"/services/{self.name}")
                if int(found["Spec"]["Labels"]["n"]) < self.attempted:
                    found["Spec"]["Labels"]["n"] = str(self.attempted)
                    api.post(f"/services/{self.name}/update?version={found['Version']['Index']}", found["Spec"])
                self.acknowledged = self.attempted
                self.gaps.append((last, now() - last))
                last = now()
                time.sleep(0.02)
            except (OSError, Refused) as error:
                self.errors[str(error)[:80]] += 1
                time.sleep(0.02)

    def read(self, node):
        api = self.ground.api(node, 60)
        while not self.stopped:
            least = self.acknowledged
            try:
                value = int(api.get(f"/services/{self.name}")["Spec"]["Labels"]["n"])
                self.reads += 1
                if value < least:
                    self.report.fault(f"stale: node {node} answers {value} after {least} was acknowledged")
            except (OSError, Refused) as error:
                self.errors[f"read through node {node}: {str(error)[:60]}"] += 1
            time.sleep(0.02)

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join(10)


def pause(report, ground, options):
    """One round of leader-pause."""
    seconds = options.seconds or 20
    lay_out(ground)
    leader = ground.settled()
    before = processes(ground)
    register = Register(ground, [m for m in ground.managers if m != leader], ground.managers, report)
    traffic = Load(ground, options.rate) if options.rate else None
    time.sleep(2)
    paused = now()
    ground.word("stop", leader, "STOP")
    time.sleep(seconds)
    continued = now()
    ground.word("stop", leader, "CONT")
    ground.settled(30)
    report.value("going on to settled", now() - continued)
    time.sleep(5)
    register.stop()
    gap = max((g for start, g in register.gaps if start + g > paused), default=None)
    report.value("longest wait for a write", gap, 2)
    report.note(f"{register.acknowledged} writes, {register.reads} reads, errors {dict(register.errors)}")
    if traffic:
        traffic.stop()
        traffic.tell(report, "pause", since=paused)
    after = processes(ground)
    for identifier, entry in before.items():
        if after.get(identifier) != entry and entry[0] != leader:
            report.fault(f"the container of {entry[2]} on node {entry[0]} did not stay over the pause")
    # Who sees a paused node from outside cannot tell it from a dead one: its tasks may have moved, and no others.
    moved = {entry[2] for identifier, entry in before.items() if entry[0] == leader and identifier not in after}
    report.note(f"{len(moved)} tasks of the paused node were replaced")
    for identifier in set(after) - set(before):
        if after[identifier][2] not in moved:
            report.fault(f"a new container of {after[identifier][2]} on node {after[identifier][0]}")
    tasks = [t for name in ("web", "rr") for t in ground.tasks(name)]
    slots = collections.Counter((t["ServiceID"], t["Slot"]) for t in tasks)
    for slot, count in slots.items():
        if count > 1:
            report.fault(f"{count} tasks are wanted in slot {slot[1]} of {slot[0]}")
    if not options.keep:
        ground.remove("web", "rr", register.name)


def leader_pause(report, ground, options):
    rounds(report, ground, options, lambda: pause(report, ground, options))


def managers_down(report, ground, options):
    """All managers go for 90 s; the workers' traffic and names do not notice."""
    seconds = options.seconds or 90
    prepare(ground)
    workers = [i for i in ground.nodes if i not in ground.managers]
    for number in range(1, options.count + 1):
        moved = number % 2 == 0 if options.count > 1 else options.moved
        report.round(number, options.count)
        lay_out(ground, 4, 2, ["node.role==worker"])
        before = {k: v for k, v in processes(ground).items() if v[0] in workers}
        watchers = probes(ground, workers, 0.1)
        outside = Load(ground, 10) if ground.engine == "ours" else None
        time.sleep(2)
        down = now()
        for manager in ground.managers:
            ground.word(*(["kill", manager] if moved else ["stop", manager, "KILL"]))
            ground.dead.add(manager)
        time.sleep(seconds)
        back = now()
        places = {m: f"198.18.0.{(60 if number % 4 == 2 else 70) + m}" for m in ground.managers} if moved else {}
        threads = [threading.Thread(target=ground.start, args=(m, places.get(m))) for m in ground.managers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        label = "back at other addresses" if moved else "back"
        def created():
            ground.create(f"after{number}", replicas=2, constraints=["node.role==worker"])
            return True
        wait_for(120, "a write after the managers' return", created)
        report.value(f"{label}: to a write", now() - back)
        ground.run_all(120, **{f"after{number}": 2})
        report.value(f"{label}: to its running tasks", now() - back)
        ground.settled(120)
        report.value(f"{label}: to all ready", now() - back, 10)
        time.sleep(3)
        for watcher in watchers:
            watcher.stop()
        failed = [e for w in watchers for e in w.failures()]
        if outside:
            outside.stop()
            failed += [e for e in outside.failures() if outside.targets[e["name"]] in workers]
            report.note(f"{outside.summary.get('vip_asked', 0)} requests from outside, also through managers")
        unanswered = sum(w.summary.get("dns_failed", 0) for w in watchers)
        wrong = [e for w in watchers for e in w.events if e["kind"] == "dns" and e["at"] > down
                 and (e["error"] or not e["answer"])]
        asked = sum(w.summary.get("vip_asked", 0) for w in watchers)
        report.value("failed requests on the workers", len(failed), 0, "requests")
        report.value("names unanswered or wrong", unanswered + len(wrong), 0, "questions")
        report.note(f"{asked} requests inside; failures "
                    f"{dict(collections.Counter(e['error'] for e in failed)) or 0}; wrong names {wrong[:3]}")
        after = processes(ground)
        for identifier, entry in before.items():
            if after.get(identifier) != entry:
                report.fault(f"the container of {entry[2]} on node {entry[0]} did not stay")
        ground.remove("web", "rr", f"after{number}")
        ground.run_all(90, probe=ground.size)
