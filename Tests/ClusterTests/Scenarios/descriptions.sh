# What swarmctl prints for people is what the stock client prints, byte for byte.
source "$(dirname "$0")/common.sh"
cluster up 1 >/dev/null
docker network create -d overlay app >/dev/null
echo x | docker secret create -l b=2 -l a=1 s1 - >/dev/null
echo y | docker config create -l b=2 -l a=1 c1 - >/dev/null
docker service create -q -d --name full --network app -p mode=host,target=80,published=81 -p 8080:80/udp --user nobody --workdir /tmp \
  --ulimit nofile=100:200 --ulimit nproc=50 --limit-cpu 0.5 --limit-memory 64m --reserve-memory 16m --limit-pids 50 \
  --sysctl net.core.somaxconn=100 --cap-add NET_ADMIN --cap-drop CHOWN --secret s1 --config c1 --env A=B --label b=2 --label a=1 \
  --mount type=volume,src=v,dst=/v --mount type=bind,src=/tmp,dst=/b,readonly --health-cmd true --health-interval 5s \
  --constraint node.role==manager --placement-pref spread=node.labels.x --update-delay 1s --update-order start-first \
  --rollback-parallelism 2 --log-driver json-file --log-opt max-size=1m --hostname h --stop-grace-period 2s --host a:1.2.3.4 \
  --tty --dns 1.1.1.1 --restart-delay 2s --restart-max-attempts 3 --replicas 2 --replicas-max-per-node 2 \
  --entrypoint sh busybox:latest -c "sleep 100" >/dev/null 2>&1
docker service create -q -d --name everywhere --mode global -p mode=host,target=80,published=82 --log-driver none busybox:latest sleep 100 >/dev/null 2>&1
docker service update -q -d --env-add X=Y everywhere >/dev/null 2>&1
docker node update --label-add b=2 --label-add a=1 node1 >/dev/null
same() { diff <(docker "$@" 2>&1) <(ctl "$@" 2>&1) || fail "docker's and ours differ: $*"; }
same service inspect --pretty full
same service inspect --pretty full everywhere
same node inspect --pretty node1
same secret inspect --pretty s1
same config inspect --pretty c1
