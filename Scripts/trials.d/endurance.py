"""Long disturbances and losses for good: daemons killed in turn under writes, and a quorum that does not come back."""
import collections, random, subprocess, threading, time
import deaths
from ground import Late, Refused, addresses, now, processes, wait_for


class Writer:
    """Creates, scales and removes services of its own, one after the other, and knows what each must be in the end."""

    def __init__(self, ground, number, network):
        self.ground, self.number, self.network = ground, number, network
        self.wanted = {}            # name -> the replicas that may be true: more than one while an answer is missing
        self.counts, self.errors = collections.Counter(), collections.Counter()
        self.stopped = False
        self.random = random.Random(number)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        serial = 0
        while not self.stopped:
            settled = [n for n, r in self.wanted.items() if len(r) == 1 and r != {None}]
            choice = self.random.random()
            try:
                if choice < 0.4 and len(settled) < 4 or not settled:
                    serial += 1
                    self.change(f"s{self.number}-{serial}", self.random.choice([0, 1, 2]), "create")
                elif choice < 0.75:
                    self.change(self.random.choice(settled), self.random.choice([0, 1, 2, 3]), "scale")
                else:
                    self.change(self.random.choice(settled), None, "remove")
            except (OSError, Refused) as error:
                self.errors[f"{str(error)[:90]}"] += 1
            time.sleep(0.1)

    def change(self, name, replicas, kind):
        before = self.wanted.get(name, {None})
        node = self.random.choice(self.ground.managers)
        api = self.ground.api(node, 10)
        try:
            if kind == "scale":
                found = api.get(f"/services/{name}")
                found["Spec"]["Mode"]["Replicated"]["Replicas"] = replicas
            self.wanted[name] = before | {replicas}
            if kind == "create":
                self.ground.create(name, api, replicas=replicas, network=self.network, command=["sleep", "1000000"],
                                   delay=0.2)
            elif kind == "scale":
                api.post(f"/services/{name}/update?version={found['Version']['Index']}", found["Spec"])
            else:
                api.delete(f"/services/{name}")
            self.wanted[name] = {replicas}
            self.counts[kind] += 1
        except Refused as refusal:
            # What was refused has not happened, unless an earlier attempt of the forwarding manager has.
            if refusal.status < 500 and name in self.wanted:
                self.wanted[name] = before
            raise
        finally:
            api.close()

    def stop(self):
        self.stopped = True
        self.thread.join(30)


def census(ground):
    """What each node holds: processes, mounts, links, namespaces, cgroups. Differences are leaks."""
    found = {}
    for node in ground.nodes:
        holder = open(f"{ground.folder}/n{node}/holder.pid").read().strip()
        group = f"{ground.name}-{node}"
        script = f"""
            r=/sys/fs/cgroup; [ -d $r/pids ] && r=$r/pids
            pids=$(find $r/{group} -name cgroup.procs -exec cat {{}} + | sort -un)
            for p in $pids; do cat /proc/$p/comm 2>/dev/null; done | sed 's/^/process /' | sort | uniq -c
            sed 's/.* - //' /proc/{holder}/mountinfo | awk '{{ print "mounts of " $1 }}' | sort | uniq -c
            echo "$(find $r/{group} -type d | wc -l) cgroups"
            echo "$(ip -n {ground.name}-node{node} -o link | wc -l) links"
            for p in $pids; do readlink /proc/$p/ns/net; done | sort -u | wc -l | sed 's/$/ namespaces/'"""
        lines = subprocess.run(["bash", "-c", script], text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL).stdout.splitlines()
        found[node] = {" ".join(l.split()[1:]): int(l.split()[0]) for l in lines}
    return found


def leaks(before, after):
    return [f"node {node} holds {after[node][what] - before[node].get(what, 0)} more: {what}"
            for node in after for what in sorted(after[node]) if after[node][what] > before[node].get(what, 0)]


def check_addresses(ground, report):
    """No address twice, and every container has the address its task was given."""
    owner = {}
    tasks = {t["ID"]: t for t in ground.tasks(timeout=10)}
    for task in tasks.values():
        for attachment in task.get("NetworksAttachments") or []:
            for address in attachment["Addresses"]:
                key = attachment["Network"]["ID"], address.split("/")[0]
                if key in owner:
                    report.fault(f"{address} belongs to {owner[key]} and to task {task['ID']}")
                owner[key] = f"task {task['ID']}"
    for s in ground.ask(lambda api: api.get("/services")):
        for vip in (s.get("Endpoint") or {}).get("VirtualIPs") or []:
            key = vip["NetworkID"], vip["Addr"].split("/")[0]
            if key in owner:
                report.fault(f"{vip['Addr']} is the VIP of {s['Spec']['Name']} and belongs to {owner[key]}")
            owner[key] = f"service {s['Spec']['Name']}"
    checked = 0
    for node, task, slot, pid in processes(ground).values():
        if task not in tasks:
            report.fault(f"a container of task {task} ({slot}) runs on node {node}, but no such task is wanted")
            continue
        given = set(addresses(tasks[task]))
        shown = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-br", "-4", "addr"], text=True,
                               stdout=subprocess.PIPE).stdout
        have = {w.split("/")[0] for l in shown.splitlines() for w in l.split()[2:]}
        if not given <= have:
            report.fault(f"task {task} on node {node} was given {sorted(given)} and has {sorted(have)}")
        checked += 1
    return len(owner), checked


def rolling_kill(report, ground, options):
    seconds = options.seconds or 600
    ground.network()
    for number in range(1, options.count + 1):
        report.round(number, options.count)
        # One service comes and goes first, so that what is made once is there before the census.
        ground.create("first", replicas=10, command=["sleep", "1000000"])
        ground.run_all(60, first=10)
        ground.remove("first")
        time.sleep(3)
        before = census(ground)
        ground.create("kept", command=["sleep", "1000000"])
        ground.run_all(60, kept=ground.size)
        kept = processes(ground)
        writers = [Writer(ground, n, "app") for n in range(1, 4)]
        end, kills, turn = now() + seconds, 0, 0
        while now() < end:
            node = turn % ground.size + 1
            turn += 1
            ground.word("stop", node, "KILL")
            kills += 1
            time.sleep(random.uniform(0, 1))
            ground.word("start", node)
            if turn % 5 == 0:
                try:
                    ground.settled(30)
                except Late as late:
                    report.fault(f"after {kills} kills: {late}")
                    break
            time.sleep(random.uniform(0.5, 3))
        for writer in writers:
            writer.stop()
        quiet = now()
        report.value("last kill to settled", ground.settled(60) and now() - quiet)
        counts, errors = collections.Counter(), collections.Counter()
        for writer in writers:
            counts.update(writer.counts)
            errors.update(writer.errors)
        report.note(f"{kills} kills; acknowledged {dict(counts)}; {sum(errors.values())} errors, "
                    f"most often {errors.most_common(3)}")
        found = {s["Spec"]["Name"]: s["Spec"]["Mode"].get("Replicated", {}).get("Replicas")
                 for s in ground.ask(lambda api: api.get("/services"), 10)}
        for writer in writers:
            for name, may in writer.wanted.items():
                if found.get(name) not in may:
                    report.fault(f"{name} was acknowledged as {sorted(map(str, may))} and is {found.get(name)}")
        expected = {n: r for n, r in found.items() if r} | {"kept": ground.size}
        try:
            ground.run_all(60, **expected)
            report.value("last kill to all tasks running", now() - quiet)
        except Late as late:
            report.fault(str(late)[:300])
        time.sleep(2)
        owned, checked = check_addresses(ground, report)
        report.note(f"{owned} addresses, {checked} containers compared with their tasks")
        running = processes(ground)
        for identifier, entry in kept.items():
            if running.get(identifier) != entry:
                report.fault(f"the container of {entry[2]} on node {entry[0]} did not stay")
        ground.remove(*found)
        left = leaks(before, census(ground))
        for _ in range(15):
            if not left:
                break
            time.sleep(2)
            left = leaks(before, census(ground))
        for text in left:
            report.fault(text)


def quorum_loss(report, ground, options):
    """Two managers of three are lost for good; one command on the survivor, and the workers come by themselves."""
    deaths.prepare(ground)
    deaths.lay_out(ground, 10, 5)
    leader = ground.settled()
    survivor = [m for m in ground.managers if m != leader][0]
    before = {k: v for k, v in processes(ground).items() if v[0] == survivor or v[0] not in ground.managers}
    for manager in ground.managers:
        if manager != survivor:
            ground.kill(manager)
    time.sleep(5)
    api = ground.api(survivor, 30)
    asked = now()
    try:
        ground.create("without-quorum", api, replicas=0, network=None)
        report.fault("a write was acknowledged without a quorum")
    except Refused as refusal:
        report.note(f"a write without a quorum, after {now() - asked:.1f} s: {refusal}")
    except OSError as error:
        report.note(f"a write without a quorum: no answer within {now() - asked:.1f} s ({error})")
    api.close()
    if {k: v for k, v in processes(ground).items() if k in before} != before:
        report.fault("containers did not stay when the quorum was lost")
    since = now()
    status, out, err = ground.ctl(survivor, "swarm", "init", "--force-new-cluster", "--advertise-addr",
                                  ground.addresses[survivor])
    report.value("force-new-cluster's own time", now() - since)
    if status != 0:
        report.fault(f"swarm init --force-new-cluster: {err}")
        return
    ground.managers = [survivor]
    def written():
        ground.create("afterwards", replicas=3)
        return True
    wait_for(60, "a write on the survivor", written)
    report.value("force-new-cluster to a write", now() - since)
    ground.settled(60)
    report.value("force-new-cluster to all living nodes ready", now() - since, 10)
    ground.run_all(60, afterwards=3, web=10, rr=5)
    report.value("force-new-cluster to all tasks running", now() - since)
    after = processes(ground)
    for identifier, entry in before.items():
        if after.get(identifier) != entry:
            report.fault(f"the container of {entry[2]} on node {entry[0]} did not stay")
    listed = ground.listed()
    report.note("nodes: " + ", ".join(f"{i} {n['Status']['State']} {n['Spec']['Role']} "
                                      f"{n.get('ManagerStatus', {}).get('Reachability', '')}".strip()
                                      for i, n in sorted(listed.items())))
