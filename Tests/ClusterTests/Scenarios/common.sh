# What every scenario shares: a cluster of its own that is gone at the end, checks that say what was wrong.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
export CLUSTER_NAME=t$$ CLUSTER_DIR=/tmp/swarm-test-$$ PATH=$PATH:/usr/sbin:/sbin
[ -n "${SWARM_BIN:-}" ] || export SWARM_BIN=$root/.build/debug
cluster() { "$root/Scripts/cluster" "$@"; }
ctl() { cluster ctl 1 "$@"; }
docker() { cluster docker 1 "$@"; }

finish() {
  local status=$?
  trap - EXIT
  if [ $status != 0 ]; then
    echo "--- the end of node 1's log:"; cluster logs 1 2>/dev/null | tail -15 || true
  fi
  cluster down >/dev/null || { echo "cluster down failed"; status=1; }
  exit $status
}
trap finish EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
# is WHAT EXPECTED ACTUAL
is() { [ "$2" = "$3" ] || fail "$1: expected '$2', found '$3'"; }
# eventually SECONDS WHAT CMD...: CMD succeeds within the bound.
eventually() {
  local seconds=$1 what=$2 deadline=$((SECONDS + $1)); shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "$what: not within $seconds s"
    sleep 0.05
  done
}
# running SERVICE: how many of its tasks run and are wanted.
running() { docker service ps --filter desired-state=running --format '{{.CurrentState}}' "$1" 2>/dev/null | grep -c '^Running' || true; }
runs() { [ "$(running "$1")" = "$2" ]; }
# pids: the process ids of all containers, sorted.
pids() { docker ps -q | xargs -r "$root/Scripts/cluster" docker 1 inspect --format '{{.State.Pid}}' | sort; }
# A server that says its host name and its client's address.
who='mkdir -p /www/cgi-bin; printf "#!/bin/sh\necho; a=\${REMOTE_ADDR##*:}; echo \$(hostname) \${a%%]}\n" >/www/cgi-bin/who; chmod +x /www/cgi-bin/who; exec httpd -f -p 80 -h /www'
# ask TASK ARGS...: dig inside a task's network.
ask() { local task=$1; shift; cluster enter 1 "$task" dig +short +time=2 +tries=1 "$@" @127.0.0.11; }
