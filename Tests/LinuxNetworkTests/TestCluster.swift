import Foundation
import Logging
import Overlay
import SwarmCore
import Testing

@testable import LinuxNetwork

/// Nodes in namespaces of their own on one LAN, each with its own kernel adapter; number 1 is `198.18.0.1`.
final class TestCluster {
    struct Workload {
        var id: String
        /// From 1.
        var node: Int
        /// The last byte of its addresses: `10.0.1.x` on `app`, `10.0.0.x` on `ingress`.
        var number: Int
        var isServing = true

        var app: IPv4Address { address("10.0.1.\(number)") }
        var ingress: IPv4Address { address("10.0.0.\(number)") }
    }

    static let clientAddress = "198.18.0.200"
    let name: String
    let directory: String
    let count: Int
    private(set) var networks: [KernelNetwork] = []
    private var servers: [String] = []

    init(nodes count: Int) {
        name = "sc\(getpid() % 10_000)\(Int.random(in: 100...999))"
        directory = "/tmp/swarm-network-\(name)"
        self.count = count
        shell("ip netns add \(name)l; ip -n \(name)l link add br0 type bridge; ip -n \(name)l link set br0 up")
        for number in 1...count { plug("n\(number)", "198.18.0.\(number)") }
        plug("x", Self.clientAddress)
        for number in 1...count {
            shell("mkdir -p \(directory)/\(number)")
            networks.append(makeNetwork(number))
        }
    }

    private func plug(_ suffix: String, _ address: String) {
        shell(
            """
            ip netns add \(name)\(suffix); ip -n \(name)\(suffix) link set lo up
            ip -n \(name)\(suffix) link add lan0 type veth peer name \(suffix) netns \(name)l
            ip -n \(name)l link set \(suffix) master br0 up
            ip -n \(name)\(suffix) addr add \(address)/24 dev lan0; ip -n \(name)\(suffix) link set lan0 up
            """)
    }

    private func makeNetwork(_ number: Int) -> KernelNetwork {
        KernelNetwork(
            configuration: .init(runDirectory: "\(directory)/\(number)", hostNamespace: "/run/netns/\(name)n\(number)"),
            logger: Logger(label: "node\(number)"))
    }

    /// As after `kill -9` of the daemon.
    func restart(_ number: Int) async throws {
        await networks[number - 1].shutdown(removeEverything: false)
        networks[number - 1] = makeNetwork(number)
        try await networks[number - 1].start()
    }

    func nodeAddress(_ number: Int) -> IPv4Address { address("198.18.0.\(number)") }

    /// What a node is told when these tasks are in the cluster: a service with the address `10.0.1.5`, published on
    /// 8080/tcp and 5353/udp.
    func desired(_ node: Int, _ tasks: [Workload], strangers: [String] = []) -> DesiredNetworking {
        let serving = tasks.filter(\.isServing)
        let others = tasks.filter { $0.node != node }
        let service = VirtualService(id: "web", virtualIP: address("10.0.1.5"), backends: serving.map(\.app).sorted())
        var app = DesiredNetworking.network("app", "10.0.1.0/24", services: [service])
        var ingress = DesiredNetworking.network("ingress", "10.0.0.0/24", ingress: true)
        (app.vni, app.mtu) = (4098, 9000)
        (ingress.vni, ingress.mtu) = (4097, 9000)
        for task in others {
            app.remotes[task.app] = nodeAddress(task.node)
            ingress.remotes[task.ingress] = nodeAddress(task.node)
        }
        var desired = DesiredNetworking()
        desired.networks["ingress"] = ingress
        for task in tasks where task.node == node {
            desired.networks["app"] = app
            var sandbox = DesiredNetworking.sandbox(task.id, on: "ingress", task.ingress.description, way: "ingress")
            sandbox.interfaces += DesiredNetworking.sandbox("", on: "app", task.app.description, way: nil).interfaces
            desired.sandboxes[task.id] = sandbox
        }
        let backends = serving.map(\.ingress).sorted()
        desired.publishedPorts = [
            PublishedPort(transport: .tcp, publishedPort: 8080, targetPort: 80, mode: .ingress, backends: backends),
            PublishedPort(transport: .udp, publishedPort: 5353, targetPort: 53, mode: .ingress, backends: backends),
        ]
        let peers = (1...count).filter { $0 != node }.map(nodeAddress) + strangers.map { address($0) }
        desired.tunnel = DesiredTunnel(address: nodeAddress(node), peers: Set(peers))
        return desired
    }

    func apply(_ tasks: [Workload], strangers: [String] = []) async {
        for number in 1...count {
            let report = await networks[number - 1].apply(desired(number, tasks, strangers: strangers))
            #expect(report == NetworkReport())
        }
    }

    func start(_ tasks: [Workload]) async throws {
        for network in networks { try await network.start() }
        await apply(tasks)
        for task in tasks { try serve(task) }
    }

    // MARK: - Programs

    func host(_ number: Int, _ command: String) -> String {
        shell("nsenter --net=/run/netns/\(name)n\(number) \(command)")
    }
    func client(_ command: String) -> String { shell("nsenter --net=/run/netns/\(name)x \(command)") }
    func inside(_ task: Workload, _ command: String) -> String { shell("nsenter --net=\(path(task)) \(command)") }
    /// In the namespace of a network on a node.
    func sandbox(_ number: Int, _ network: String, _ command: String) -> String {
        shell("nsenter --net=\(directory)/\(number)/networks/\(network) \(command)")
    }
    func path(_ task: Workload) -> String { "\(directory)/\(task.node)/netns/\(task.id)" }
    func background(_ command: String) { servers.append(shell("\(command) </dev/null >/dev/null 2>&1 & echo $!")) }

    /// The kernel opens a new bridge port when it gets to it, and may lose a first packet until then.
    func pings(_ task: Workload, _ target: IPv4Address, size: Int = 56) -> Bool {
        (0..<3).contains { _ in
            inside(task, "busybox ping -c1 -W1 -s \(size) \(target)").contains("1 packets received")
        }
    }

    /// Answers on 80/tcp and 53/udp with its name and the address it sees its client under.
    private func serve(_ task: Workload) throws {
        let root = "\(directory)/www-\(task.id)"
        shell(
            """
            mkdir -p \(root)/cgi-bin
            printf '#!/bin/sh\\necho "Content-type: text/plain"\\necho\\necho "\(task.id) $REMOTE_ADDR"\\n' \
            > \(root)/cgi-bin/who; chmod +x \(root)/cgi-bin/who
            head -c 3000000 /dev/zero > \(root)/big
            """)
        background("nsenter --net=\(path(task)) busybox httpd -f -p 0.0.0.0:80 -h \(root)")
        let answer = "\(directory)/udp-\(task.id)"
        let program = """
            socket(S, PF_INET, SOCK_DGRAM, 17); bind(S, sockaddr_in(53, INADDR_ANY));
            while ($peer = recv(S, $data, 99, 0)) {
                ($port, $address) = sockaddr_in($peer);
                send(S, "\(task.id) " . inet_ntoa($address) . "\\n", 0, $peer);
            }
            """
        shell("cat > \(answer) <<'END'\nuse Socket;\n\(program)\nEND")
        background("nsenter --net=\(path(task)) perl \(answer)")
        let deadline = Date().addingTimeInterval(5)
        while inside(task, "curl -s -m 1 http://127.0.0.1:80/cgi-bin/who") == "", Date() < deadline {}
        while !inside(task, "ss -lun").contains(":53"), Date() < deadline {}
    }

    func stop() async {
        // Children first: they would go on without their parents.
        let processes = servers.joined(separator: ",")
        if !servers.isEmpty { shell("pkill -9 -P \(processes); kill -9 \(servers.joined(separator: " "))") }
        for network in networks { await network.shutdown(removeEverything: true) }
        shell("for n in l x $(seq -f n%g \(count)); do ip netns del \(name)$n; done; rm -rf \(directory)")
    }
}
