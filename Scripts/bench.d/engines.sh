# The two engines under test: ours and Docker's, started and stopped alike. Sourced by Scripts/bench.

say() { printf '== %s\n' "$*" >&2; }
die() { echo "bench: $*" >&2; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || die "needs root: it runs containers and makes network namespaces"; }

# One run at a time: they would share names and cores. What is started in the background lets go of the lock.
alone() {
  exec 9<"$here/bench"
  flock -n 9 || die "another Scripts/bench is running"
}

install_packages() {
  local wanted=(jq busybox-static iproute2 procps util-linux curl containerd runc) missing=() package policy=/usr/sbin/policy-rc.d made=0
  local metric
  for metric in "${metrics[@]}"; do
    case $metric in dns) wanted+=(dnsperf unbound) ;; vip) wanted+=(wrk nginx-light) ;; esac
  done
  [ $with_docker = 0 ] || wanted+=(docker.io)
  for package in "${wanted[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  # A policy of "no" keeps the packages' services from being started.
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; }
  local status=0
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || status=$?
  [ $made = 0 ] || rm -f $policy
  [ $status = 0 ] || die "cannot install ${missing[*]}"
}

swarmd_binary() {
  local candidate root; root=$(cd "$here/.." && pwd)
  for candidate in ${SWARM_BIN:+"$SWARM_BIN"} "$root/.build/release" "$root/.build/debug"; do
    [ -x "$candidate/swarmd" ] && { echo "$candidate/swarmd"; return; }
  done
  die "no swarmd: run 'swift build -c release --product swarmd' or set SWARM_BIN"
}

# wait_for SECONDS WHAT CMD...: polls CMD until it succeeds.
wait_for() {
  local what=$2 limit=$1 deadline=$((SECONDS + $1)); shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "waited $limit s in vain for $what; logs are in $dir/*/log"
    sleep 0.03
  done
}

sock() { echo "$dir/$1/engine.sock"; }
# api ENGINE METHOD PATH [BODY]
api() {
  local engine=$1 method=$2 path=$3
  if [ $# -gt 3 ]; then
    curl -sS -m 120 --unix-socket "$(sock "$engine")" -X "$method" -H 'Content-Type: application/json' -d "$4" "http://d$path"
  else
    curl -sS -m 120 --unix-socket "$(sock "$engine")" -X "$method" "http://d$path"
  fi
}
# demand ENGINE PATH BODY: a request that must succeed.
demand() {
  local answer
  answer=$(curl -sS -m 120 --fail-with-body --unix-socket "$(sock "$1")" -H 'Content-Type: application/json' -d "$3" "http://d$2") ||
    die "$1 refuses $2: $answer"
}
answers() { api "$1" GET /_ping | grep -q OK; }
pid_of() { cat "$dir/$1/pid"; }

# One cgroup for the daemon and what it starts, another beside it for the containers.
accounting_root() {
  awk '$3 == "cgroup" && $4 ~ /(^|,)cpuacct(,|$)/ { print $2; found = 1; exit } $3 == "cgroup2" { v2 = $2 }
    END { if (!found) print v2 }' /proc/mounts
}
join_cgroup() {
  local group; group=$(accounting_root)/bench-$1
  mkdir -p "$group"; echo $BASHPID >"$group/cgroup.procs"
}
# Microseconds of CPU of the daemon with everything it started but the containers' own.
group_cpu() {
  local group; group=$(accounting_root)/bench-$1
  if [ -f "$group/cpuacct.usage" ]; then echo $(($(cat "$group/cpuacct.usage") / 1000))
  else awk '$1 == "usage_usec" { print $2 }' "$group/cpu.stat"; fi
}
# Microseconds of CPU of one process and the threads it had.
process_cpu() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%.0f\n", ($12 + $13) * 1000000 / hz }' "/proc/$1/stat"; }

in_engine() { local engine=$1; shift; nsenter -t "$(cat "$dir/$engine/holder")" -m -u -n -- "$@"; }

start_engine() {
  local engine=$1 d=$dir/$1; mkdir -p "$d"
  ip netns add "bench-$engine"
  ip -n "bench-$engine" link set lo up
  # An address of its own is all that a swarm of one wants; nothing is at the cable's other end.
  ip -n "bench-$engine" link add eth0 type veth peer name eth0-peer
  ip -n "bench-$engine" link set eth0-peer up; ip -n "bench-$engine" link set eth0 up
  ip -n "bench-$engine" addr add 198.18.9.1/24 dev eth0
  # nsenter instead of `ip netns exec`, which would hide the cgroups behind a fresh /sys.
  ( exec setsid nsenter --net="/run/netns/bench-$engine" unshare -m -u -- bash -c "
      hostname bench-$engine; mount --make-rprivate /; mount -t tmpfs -o mode=755 tmpfs /run; mkdir /run/docker
      echo \$\$ >'$d/holder'; exec sleep infinity" ) </dev/null >/dev/null 2>&1 9>&- &
  disown
  wait_for 5 "the namespaces of $engine" test -s "$d/holder"
  local command
  case $engine in
    ours) command="$(swarmd_binary) --data-dir $d/data --run-dir /run/swarmd --host unix://$(sock ours)
      --cgroup-parent /bench-ours-tasks" ;;
    # The image is local on both sides: without the variable Docker asks a registry first, every time.
    docker) command="env DOCKER_SERVICE_PREFER_OFFLINE_IMAGE=1 dockerd --data-root $d/data --exec-root /run/docker-exec
      --pidfile /run/dockerd.pid -H unix://$(sock docker) --cgroup-parent /bench-docker-tasks" ;;
  esac
  ( join_cgroup "$engine"
    exec setsid nsenter -t "$(cat "$d/holder")" -m -u -n -- bash -c "echo \$\$ >'$d/pid'; exec $(echo $command)" \
  ) </dev/null >"$d/log" 2>&1 9>&- &
  disown
  wait_for 60 "$engine to answer" answers "$engine"
  load_image "$engine"
  demand "$engine" /swarm/init '{"ListenAddr":"198.18.9.1:2377","AdvertiseAddr":"198.18.9.1"}'
  demand "$engine" /networks/create '{"Name":"bench","Driver":"overlay","Attachable":true}'
}

# busybox from Debian, every applet linked.
make_root() {
  local root=$1; mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev,root,var}
  cp "$(command -v busybox)" "$root/bin/busybox"
  busybox --list | grep -vx busybox | while read -r applet; do ln -sf busybox "$root/bin/$applet"; done
  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"; printf 'root:x:0:\n' >"$root/etc/group"
}
load_image() {
  local root; root=$(mktemp -d); make_root "$root"
  tar -C "$root" -c . | curl -sS -m 60 --unix-socket "$(sock "$1")" -X POST -T - \
    "http://d/images/create?fromSrc=-&repo=busybox&tag=latest&changes=ENV%20PATH=/bin" >/dev/null
  rm -rf "$root"
  wait_for 10 "the image in $1" bash -c "curl -sS --unix-socket '$(sock "$1")' http://d/images/busybox:latest/json | jq -e .Id"
}

# Everything in an engine's two cgroups dies, then all that they held is removed; nothing else is touched.
stop_engines() {
  local engine d group root round pids
  root=$(accounting_root)
  for engine in ours docker; do
    d=$dir/$engine
    for round in $(seq 50); do
      pids=$(find "$root/bench-$engine" "$root/bench-$engine-tasks" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -un || true)
      [ -n "$pids" ] || break
      if [ "$round" = 1 ] && [ -s "$d/pid" ]; then kill "$(cat "$d/pid")" 2>/dev/null || true; sleep 0.5; continue; fi
      kill -9 $pids 2>/dev/null || true; sleep 0.1
    done
    [ ! -s "$d/holder" ] || kill -9 "$(cat "$d/holder")" 2>/dev/null || true
    [ ! -e "/run/netns/bench-$engine" ] || ip netns del "bench-$engine"
    for group in $(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts); do
      find "$group/bench-$engine" "$group/bench-$engine-tasks" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
  done
  [ ! -e /run/netns/bench-floor ] || ip netns del bench-floor
  [ -d "$dir" ] || return 0
  awk -v p="$dir/" 'index($2, p) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l 2>/dev/null || true
  rm -rf "$dir"
}
