# What stack files themselves cost, without an engine: `Scripts/bench stacks`. The release build of the loader reads and
# translates 500 services, and plans and orders them over what is deployed; each has to take less than a second.
measure_stacks() {
  local root output
  root=$(cd "$here/.." && pwd)
  output=$(mktemp)
  export SWARM_ONLY=Compose
  (cd "$root" && swift build -c release -Xswiftc -enable-testing --scratch-path .build-fuzz --build-tests >&2)
  local status=0
  (cd "$root" && swift test -c release -Xswiftc -enable-testing --scratch-path .build-fuzz --skip-build \
    --filter 'five hundred services|500 services' >"$output" 2>&1) || status=$?
  grep '^500 services' "$output" || { cat "$output" >&2; status=1; }
  rm -f "$output"
  return $status
}
