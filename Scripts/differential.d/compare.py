"""What two engines answered to the same commands, line by line, against the table of known differences.

    compare.py THEIRS OURS TABLE NAME    folders that `side` filled; NAME: the comparison's name in the table

Prints each difference that the table does not explain; exit status 1 if there is one.
"""

import fnmatch
import glob
import os
import re
import subprocess
import sys
import tempfile

# What differs from run to run, in the order it is replaced.
VOLATILE = [(re.compile(pattern, re.M), word) for pattern, word in [
    (r"-----BEGIN [A-Z ]+-----[^-]*-----END [A-Z ]+-----", "PEM"),
    (r"SWMTKN-1-[0-9a-z-]{60,}", "TOKEN"),
    (r"SWMKEY-1-[0-9A-Za-z+/]{30,}", "UNLOCK-KEY"),
    (r'("(?:TrustRoot|CertIssuerSubject|CertIssuerPublicKey)": ?)"[^"]*"', r'\1"CERTIFICATE"'),
    (r"((?:Issuer Subject|Issuer Public Key):\s+).*", r"\1CERTIFICATE"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? \+0000 (?:UTC|utc)", "TIME"),
    (r"(?:[Ll]ess than a second|[Aa]bout a minute|[Aa]bout an hour|\d+ (?:second|minute|hour|day)s?) ago", "AGO"),
    (r"\bUp (?:Less than a second|About a minute|\d+ (?:second|minute)s?)", "Up AGE"),
    (r'"time(?:Nano)?":\d+', '"time":N'),
    (r"(?:sha256:)?\b[0-9a-f]{64}\b", "HASH"),
    (r"\b[0-9a-z]{25}\b", "ID"),
    (r"\b(?=[a-z]*[0-9])[0-9a-z]{12}\b|(?<=\d\.)[0-9a-z]{12}(?=@)", "SHORT-ID"),
    (r'^[0-9a-z]{12}(?=  |$)|(?<="ID":")[0-9a-z]{12}(?=")', "SHORT-ID"),
    (r'(vxlanid_list": ?)"\d+"', r'\1"N"'),
    (r"/[^ ]*/home/", "HOME/"),
    (r"^(root +)\d+ +\d+ .*(?=sleep)", r"\1..."),
    (r'("(?:Index|Pid|PID|JobIteration)": ?)\d+', r"\1N"),
    (r"\b(?:10|172)\.\d+\.\d+\.\d+(?:/\d+)?", "ADDRESS"),
    (r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "HARDWARE-ADDRESS"),
    (r"\b3[0-2]\d{3}\b", "PORT"),
    (r"/tmp/[^ \"]*/n1\b", "NODE-FOLDER"),
    (r"\bswarmctl\b", "docker"),
    (r"\(virtual [\d.]+[kM]?B\)", "(virtual SIZE)"),
    (r" {2,}", "  "),
    (r"[ \t]+$", ""),
]]
# A wait prints states at the moments it looks; only where it arrives is the same every time.
PASSING = re.compile(
    r"^(?:overall progress|job progress|active tasks|verify: Waiting|\s*\d+/\d+: (?!running)|ID: (?!running)|\s*$)")


def normal(text, waits, sorts):
    for pattern, word in VOLATILE:
        text = pattern.sub(word, text)
    lines = text.splitlines()
    if waits:
        lines = sorted({line for line in lines if not PASSING.match(line)})
    # What was sorted by identifiers is in no order once they are words.
    return sorted(lines) if sorts else lines


def answers(folder):
    found = {}
    for path in sorted(glob.glob(folder + "/*.line")):
        base = path[: -len(".line")]
        read = lambda end: open(base + end, errors="replace").read()
        line = read(".line").rstrip("\n")
        waits = re.search(r"service (create|update|scale|rollback)", line) and not re.search(r" -d | --detach", line)
        sorts = "| sort" in line
        found[os.path.basename(base)] = (
            line,
            normal(read(".out"), waits, sorts),
            ["stderr: " + entry for entry in normal(read(".err"), waits, sorts)],
            ["exit " + read(".code").strip()],
        )
    return found


def difference(theirs, ours):
    """The lines of theirs that ours has not, with "-" before them, and the other way round with "+"."""
    if theirs == ours:
        return []
    with tempfile.NamedTemporaryFile("w") as a, tempfile.NamedTemporaryFile("w") as b:
        for file, lines in ((a, theirs), (b, ours)):
            file.write("\n".join(lines) + "\n")
            file.flush()
        output = subprocess.run(["diff", "-U0", a.name, b.name], capture_output=True, text=True).stdout
    return [line for line in output.splitlines() if line[:1] in "+-" and line[:3] not in ("---", "+++")]


class Entry:
    """A reason, the commands it is about, and the lines that it explains."""

    def __init__(self, comparison, reason):
        self.comparison, self.reason = comparison, reason
        self.commands, self.lines, self.used = [], [], set()

    def explains(self, comparison, command, line):
        if self.comparison not in ("*", comparison):
            return False
        if not any(fnmatch.fnmatchcase(command, pattern) for pattern in self.commands):
            return False
        for index, (sign, pattern) in enumerate(self.lines):
            if sign == line[0] and pattern.fullmatch(line[1:].strip()):
                self.used.add(index)
                return True
        return False


def table(path):
    entries = []
    for number, line in enumerate(open(path), 1):
        line = line.rstrip("\n")
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("== "):
            comparison, _, reason = line[3:].partition(": ")
            entries.append(Entry(comparison, reason))
        elif line.startswith("  @ ") and entries:
            entries[-1].commands.append(line[4:].replace("[", "[[]"))
        elif line[:4] in ("  - ", "  + ") and entries:
            entries[-1].lines.append((line[2], re.compile(line[4:])))
        elif line == "  -" or line == "  +":
            entries[-1].lines.append((line[2], re.compile("")))
        else:
            sys.exit(f"{path}:{number}: '{line}' is no '== COMPARISON: REASON', '  @ COMMAND', '  - LINE' or '  + LINE'")
    return entries


def main():
    theirs, ours, path, comparison = sys.argv[1:5]
    left, right, entries = answers(theirs), answers(ours), table(path)
    if not left or left.keys() != right.keys():
        sys.exit(f"{theirs} has {len(left)} answers, {ours} has {len(right)}")
    unexplained = explained = same = 0
    for number in left:
        command = left[number][0]
        lines = sum((difference(a, b) for a, b in zip(left[number][1:], right[number][1:])), [])
        rest = [line for line in lines if not any([entry.explains(comparison, command, line) for entry in entries])]
        if rest:
            unexplained += 1
            print(f"{comparison} {number} $ {command}")
            print("\n".join("    " + line for line in rest))
        elif lines:
            explained += 1
        else:
            same += 1
    for entry in entries:
        if entry.comparison == comparison:
            for index, (sign, pattern) in enumerate(entry.lines):
                if index not in entry.used:
                    print(f"{comparison}: not needed this time: '{sign} {pattern.pattern}' ({entry.reason})")
    print(f"{comparison}: {same} commands alike, {explained} with differences of the table, {unexplained} others")
    sys.exit(1 if unexplained else 0)


main()
