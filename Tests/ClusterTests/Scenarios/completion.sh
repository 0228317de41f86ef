# Keys typed into shells: what TAB completes, with the names that a swarm has now.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
export SWARM_HOST; SWARM_HOST=$(cluster sock 1)
ctl network create --driver overlay backbone >/dev/null
ctl service create -d --name webfront --network backbone --no-resolve-image --replicas 0 busybox true >/dev/null
ctl service create -d --name database --label com.docker.stack.namespace=shop --no-resolve-image --replicas 0 busybox true >/dev/null
printf x | ctl secret create passphrase - >/dev/null

echo "== what the scripts ask"
complete_() { "$SWARM_BIN/swarmctl" __complete -- "$@" | cut -f1 | paste -sd' '; }
is "services" "database webfront" "$(complete_ service rm '')"
is "the rest of them" "webfront" "$(complete_ service rm database '')"
is "networks" "backbone bridge host ingress none" "$(complete_ service create --network '')"
is "a value after =" "--network=backbone" "$(complete_ service create --network=ba)"
is "a field" "source=passphrase" "$(complete_ service create --secret source=)"
is "stacks" "shop" "$(complete_ stack rm '')"
is "nodes" "self node1" "$(complete_ node inspect '')"
is "a replica count" ":open webfront=" "$(complete_ service scale web)"
is "another engine's names" "" "$(complete_ -H unix:///nosuch.sock service rm '')"
is "its exit status" 0 "$("$SWARM_BIN/swarmctl" __complete -- -H unix:///nosuch.sock service rm ''; echo $?)"

echo "== keys typed into shells"
cat >"$CLUSTER_DIR/type.py" <<'TYPE'
import os, pty, re, select, sys, time
# type.py SHELL START KEYS WANTED: types into an interactive shell and waits until it shows what is wanted.
shell, start, keys, wanted = sys.argv[1:5]
child, screen = pty.fork()
if child == 0:
    os.environ.update(TERM="xterm", PS1="$ ", HOME=os.environ["CLUSTER_DIR"])
    os.execvp(shell.split()[0], shell.split())
shown = b""
def until(text, seconds=20):
    global shown
    end = time.time() + seconds
    while True:
        # Colours and the cursor's moves are not what is looked for, and lines are redrawn with other blanks.
        plain = re.sub(rb"[\s\x08]+", b" ", re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", shown)).decode(errors="replace")
        if text in plain:
            return
        if time.time() > end:
            sys.exit(f"{shell}: '{text}' did not appear; there is:\n{plain}")
        if select.select([screen], [], [], 0.2)[0]:
            shown += os.read(screen, 65536)
os.write(screen, (start + "; echo rea''dy\n").encode())
until("ready ")
shown = b""
os.write(screen, keys.encode().decode("unicode_escape").encode())
until(wanted)
os.kill(child, 9)
TYPE
export PATH=$SWARM_BIN:$PATH
keys() { python3 "$CLUSTER_DIR/type.py" "$@" || fail "see above"; }
load='source <(swarmctl completion bash)'
keys "bash --norc --noprofile -i" "$load" 'swarmctl serv\t' 'swarmctl service '
keys "bash --norc --noprofile -i" "$load" 'swarmctl service rm web\t' 'swarmctl service rm webfront '
keys "bash --norc --noprofile -i" "$load" 'swarmctl service create --network=back\t' '--network=backbone '
keys "bash --norc --noprofile -i" "$load" 'swarmctl -H '"$SWARM_HOST"' service scale data\t3' 'scale database=3'
if command -v zsh >/dev/null; then
  keys "zsh -f -i" 'autoload -U compinit; compinit -u -D; source <(swarmctl completion zsh)' 'swarmctl service rm web\t-end' 'webfront -end'
fi
if command -v fish >/dev/null; then
  found=$(HOME=$CLUSTER_DIR fish -c "swarmctl completion fish | source; complete -C 'swarmctl service create --network=back'" | cut -f1)
  is "fish's candidates" "--network=backbone" "$found"
fi
refused=$("$SWARM_BIN/swarmctl" completion tcsh 2>&1 || true)
is "a shell without a script" "there is no completion for 'tcsh': the shells are bash, zsh and fish" "$refused"
echo "ok"
