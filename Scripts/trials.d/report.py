"""What a trial found: the distribution of each measure, broken promises, and the facts a reader needs beside them."""
import os, subprocess, sys, time


def line(command):
    return subprocess.run(command, shell=True, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout.strip()


def facts(engine):
    cpu = line("awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo")
    memory = line("awk '/MemTotal/ { printf \"%.0f GiB\", $2 / 1048576 }' /proc/meminfo")
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    return [
        f"machine: {cpu}, {os.cpu_count()} cores, {memory}, {line('uname -sr')}, load {os.getloadavg()[0]:.1f}",
        f"commit:  {line(f'git -C {root} log -1 --format=%h%x20%s')}; {engine}",
        f"date:    {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}",
    ]


def at_rank(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, max(0, -(-len(values) * share // 100) - 1))] if values else None


class Report:
    def __init__(self, name):
        self.name, self.values, self.bars, self.faults, self.notes = name, {}, {}, [], []

    def value(self, measure, value, bar=None, unit="s", at_least=False):
        """One sample; None stands for "never". A bar holds for every sample."""
        self.values.setdefault(measure, ([], unit))[0].append(value)
        if bar is not None:
            self.bars[measure] = (bar, at_least)
        shown = "never" if value is None else f"{value:.3g} {unit}"
        print(f"   {measure}: {shown}", flush=True)

    def fault(self, text):
        """A promise that was broken, whatever the figures say."""
        self.faults.append(text)
        print(f"   FAULT: {text}", flush=True)

    def note(self, text):
        self.notes.append(text)
        print(f"   {text}", flush=True)

    def round(self, number, count):
        print(f"== {self.name}: round {number} of {count}", flush=True)

    def verdict(self, measure):
        if measure not in self.bars:
            return "", ""
        bar, at_least = self.bars[measure]
        unit = self.values[measure][1]
        bad = [v for v in self.values[measure][0] if v is None or (v < bar if at_least else v > bar)]
        verdict = f"FAIL {len(bad)}/{len(self.values[measure][0])}" if bad else "pass"
        return f"{'>=' if at_least else '<='} {bar:g} {unit}", verdict

    def show(self, engine, binaries):
        built = line(f"stat -L -c %y {binaries}/swarmd | cut -c1-19")
        daemon = f"{binaries}/swarmd of {built}" if engine == "ours" else line("dockerd --version")
        rows = [("measure", "n", "min", "median", "p90", "max", "bar", "verdict")]
        def text(v):
            return "never" if v is None or v == float("inf") else f"{v:.0f}" if v >= 1000 else f"{v:.3g}"
        for measure, (values, unit) in self.values.items():
            ordered = [float("inf") if v is None else v for v in values]
            rows.append((f"{measure} [{unit}]", str(len(values)), text(min(ordered)), text(at_rank(ordered, 50)),
                         text(at_rank(ordered, 90)), text(max(ordered)), *self.verdict(measure)))
        widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
        print(f"\n{self.name} ({'Docker Swarm' if engine == 'docker' else 'swarmd'})")
        print("\n".join(facts(daemon)))
        if len(rows) > 1:
            for row in rows:
                print("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip())
            print("every value:")
            for measure, (values, unit) in self.values.items():
                print(f"  {measure} [{unit}]: {' '.join(text(v) for v in values)}")
        for note in self.notes:
            print(f"note:  {note}")
        for fault in self.faults:
            print(f"FAULT: {fault}")
        print(f"{len(self.faults)} faults", flush=True)

    @property
    def failed(self):
        return bool(self.faults) or any(self.verdict(m)[1].startswith("FAIL") for m in self.bars)
