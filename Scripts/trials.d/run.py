"""Runs one trial on a fresh cluster and prints what it found. Called by Scripts/trials."""
import argparse, os, subprocess, sys, traceback
import deaths, endurance, followers, security, speed
from ground import Ground, Late, Refused
from report import Report

# name: (function, nodes, managers, rounds by default, what it shows)
TRIALS = {
    "leader-death": (deaths.leader_death, 5, 3, 20, "the leader's node dies"),
    "worker-death": (deaths.worker_death, 5, 3, 20, "a worker dies"),
    "worker-cut": (deaths.worker_cut, 5, 3, 3, "a worker falls silent for 60 s (--seconds) and heals"),
    "leader-pause": (deaths.leader_pause, 5, 3, 3, "the leader's daemon is paused for 20 s (--seconds)"),
    "managers-down": (deaths.managers_down, 5, 3, 2, "all managers go for 90 s (--seconds), in even rounds they move"),
    "load": (deaths.load, 5, 3, 1, "300 requests/s (--rate) through every node during the first, second and fourth"),
    "rolling-kill": (endurance.rolling_kill, 5, 3, 1, "kill -9 of daemons in turn for 600 s (--seconds) under writes"),
    "quorum-loss": (endurance.quorum_loss, 5, 3, 1, "two of three managers are lost for good; force-new-cluster"),
    "sealing": (security.sealing, 3, 3, 1, "markers are searched in LAN traffic and in data directories"),
    "bad-join": (security.bad_join, 3, 1, 1, "joins, demotions and promotions that must be refused with words"),
    "spread-of-change": (speed.spread_of_change, 5, 3, 20, "a scale until every node's names and balancers have it"),
    "start-100": (speed.start_100, 3, 3, 3, "100 tasks over three nodes"),
    "log-followers": (followers.log_followers, 3, 3, 3, "1,000 followers of logs, and creations meanwhile"),
    "etcd": (speed.etcd, 3, 3, 1, "committed small writes, 1 and 64 clients, beside etcd 3.4 with three members"),
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="Scripts/trials", description="Trials of a cluster, by black box.",
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="\n".join(f"  {n:<17} {t[4]}" for n, t in TRIALS.items()))
    parser.add_argument("name", choices=list(TRIALS), metavar="NAME")
    parser.add_argument("--count", type=int, help="rounds")
    parser.add_argument("--check", action="store_true", help="fail when a bar is missed")
    parser.add_argument("--seconds", type=float, help="how long the trial's disturbance lasts")
    parser.add_argument("--rate", type=float, default=0, help="requests a second through every node meanwhile")
    parser.add_argument("--moved", action="store_true", help="managers-down, one round: come back at other addresses")
    parser.add_argument("--engine", choices=["ours", "docker"], default="ours", help="docker: against Docker Swarm")
    parser.add_argument("--keep", action="store_true", help="leave the cluster as it is in the end")
    parser.add_argument("--nodes", type=int, help="another number of nodes")
    options = parser.parse_args()
    function, nodes, managers, count, _ = TRIALS[options.name]
    options.count = options.count or count
    nodes = options.nodes or nodes
    report = Report(options.name)
    broken = False
    try:
        with Ground(options.engine, nodes, min(managers, nodes)) as ground:
            try:
                function(report, ground, options)
            finally:
                ground.keep_logs()
                ground.kept = options.keep
    except (Late, Refused, OSError, subprocess.TimeoutExpired) as error:
        traceback.print_exc()
        report.fault(f"the trial did not end: {error}")
        broken = True
    except KeyboardInterrupt:
        broken = True
    report.show(options.engine, os.environ.get("SWARM_BIN", ""))
    sys.exit(1 if broken or report.faults or (options.check and report.failed) else 0)
