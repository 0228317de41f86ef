# What the node machines themselves cost, without network, disk or containers: `Scripts/bench machines`. Processor time,
# so that other work on this machine hardly counts.
#
# write      requests a second of one core that plays one or three managers, with 1 and 64 clients; objects are not encoded
# scheduler  tasks given to a node a second
# scale      one leader of 1,000 nodes: CPU of its steps and of its planner, and the process's peak memory with all agents' ends
measure_machines() {
  local simulate; simulate=$(cd "$here/.." && pwd)/.build-core/release/simulate
  (cd "$here/.." && CORE_ONLY=1 swift build -c release --scratch-path .build-core --product simulate >&2)
  "$simulate" bench
  "$simulate" scale
}
