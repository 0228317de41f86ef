import Foundation
import Logging
import Overlay
import SwarmCore
import Testing

@testable import LinuxNetwork

/// Runs a program and returns what it printed; the tests' way to look at the kernel from outside.
@discardableResult
func shell(_ script: String) -> String {
    // Not Foundation's Process: its waitUntilExit spins for ever on a pool thread of Linux.
    guard let pipe = popen("{ \(script)\n} 2>&1", "r") else { return "" }
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = fread(&buffer, 1, buffer.count, pipe)
        guard count > 0 else { break }
        output += buffer.prefix(count)
    }
    pclose(pipe)
    return String(decoding: output, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
}

func address(_ text: String) -> IPv4Address { IPv4Address(text) ?? IPv4Address(0) }

/// A node in namespaces of its own: `<name>h` is the host, `<name>x` a client on its LAN.
final class TestNode {
    let name: String
    let directory: String
    private var servers: [String] = []

    init() {
        name = "sw\(getpid() % 10_000)\(Int.random(in: 100...999))"
        directory = "/tmp/swarm-network-\(name)"
        shell(
            """
            ip netns add \(name)h; ip netns add \(name)x
            ip -n \(name)h link set lo up; ip -n \(name)x link set lo up
            ip -n \(name)h link add lan0 type veth peer name lan0 netns \(name)x
            ip -n \(name)h addr add 198.18.0.11/24 dev lan0; ip -n \(name)h link set lan0 up
            ip -n \(name)x addr add 198.18.0.200/24 dev lan0; ip -n \(name)x link set lan0 up
            mkdir -p \(directory)
            """)
    }

    func makeNetwork() -> KernelNetwork {
        KernelNetwork(
            configuration: .init(runDirectory: directory, hostNamespace: "/run/netns/\(name)h"),
            logger: Logger(label: "test"))
    }

    func host(_ command: String) -> String { shell("nsenter --net=/run/netns/\(name)h \(command)") }
    func client(_ command: String) -> String { shell("nsenter --net=/run/netns/\(name)x \(command)") }
    func inside(_ sandbox: String, _ command: String) -> String {
        shell("nsenter --net=\(directory)/netns/\(sandbox) \(command)")
    }

    /// Starts a program that runs until the node stops.
    /// - Returns: its process id.
    func background(_ command: String) -> String { shell("\(command) </dev/null >/dev/null 2>&1 & echo $!") }
    func keep(_ process: String) { servers.append(process) }

    /// An HTTP server that answers with its name and the address it sees its client under.
    func serve(_ sandbox: String, port: Int) throws {
        let root = "\(directory)/www-\(sandbox)"
        shell(
            """
            mkdir -p \(root)/cgi-bin
            printf '#!/bin/sh\\necho "Content-type: text/plain"\\necho\\necho "\(sandbox) $REMOTE_ADDR"\\n' \
            > \(root)/cgi-bin/who; chmod +x \(root)/cgi-bin/who
            """)
        let process = background(
            "nsenter --net=\(directory)/netns/\(sandbox) busybox httpd -f -p 0.0.0.0:\(port) -h \(root)")
        servers.append(process)
        let deadline = Date().addingTimeInterval(5)
        while inside(sandbox, "curl -s -m 1 http://127.0.0.1:\(port)/cgi-bin/who") == "", Date() < deadline {}
    }

    func stop() {
        if !servers.isEmpty { shell("kill -9 \(servers.joined(separator: " "))") }
        shell("ip netns del \(name)h; ip netns del \(name)x; rm -rf \(directory)")
    }
}

extension DesiredNetworking {
    static func sandbox(_ id: String, on network: String, _ text: String, way: String?) -> DesiredSandbox {
        DesiredSandbox(
            id: id,
            interfaces: [
                DesiredInterface(
                    networkID: network, address: address(text), prefixLength: 24,
                    mac: MACAddress(derivedFrom: address(text)))
            ], defaultNetwork: way)
    }

    static func network(
        _ id: String, _ subnet: String, ingress: Bool = false, isInternal: Bool = false,
        services: [VirtualService] = []
    ) -> DesiredNetwork {
        let parsed = IPv4Subnet(subnet) ?? IPv4Subnet(IPv4Address(0), prefixLength: 24)
        return DesiredNetwork(
            id: id, name: id, subnet: parsed, gateway: parsed.network.advanced(by: 1), mtu: 1450, vni: nil,
            isInternal: isInternal, isIngress: ingress,
            nodeAddress: ingress ? parsed.broadcast.advanced(by: -1) : nil, services: services)
    }

    /// Two servers behind a virtual address on `app`, published through `ingress`; one client on `app`.
    static func example(backends: [String] = ["10.0.1.21", "10.0.1.22"]) -> DesiredNetworking {
        let service = VirtualService(id: "web", virtualIP: address("10.0.1.5"), backends: backends.map { address($0) })
        var servers: [String: DesiredSandbox] = [:]
        for number in [1, 2] {
            var sandbox = sandbox("b\(number)", on: "ingress", "10.0.0.2\(number)", way: "ingress")
            sandbox.interfaces += Self.sandbox("", on: "app", "10.0.1.2\(number)", way: nil).interfaces
            servers[sandbox.id] = sandbox
        }
        servers["c1"] = sandbox("c1", on: "app", "10.0.1.10", way: "app")
        let port = PublishedPort(
            transport: .tcp, publishedPort: 8080, targetPort: 80, mode: .ingress,
            backends: [address("10.0.0.21"), address("10.0.0.22")])
        return DesiredNetworking(
            networks: [
                "app": network("app", "10.0.1.0/24", services: [service]),
                "ingress": network("ingress", "10.0.0.0/24", ingress: true),
            ], sandboxes: servers, publishedPorts: [port])
    }
}

@Suite(.serialized, .enabled(if: getuid() == 0), .timeLimit(.minutes(2))) struct DatapathTests {
    func withNode(_ body: (TestNode, KernelNetwork) async throws -> Void) async throws {
        let node = TestNode()
        let network = node.makeNetwork()
        defer { node.stop() }
        try await network.start()
        try await body(node, network)
        await network.shutdown(removeEverything: true)
    }

    static let fetch = "curl -s -m 3 http://"

    @Test func `names of the tasks behind a virtual address alternate, and each sees its caller`() async throws {
        try await withNode { node, network in
            let report = await network.apply(.example())
            #expect(report == NetworkReport())
            for server in ["b1", "b2"] { try node.serve(server, port: 80) }
            let answers = (0..<10).map { _ in node.inside("c1", "\(Self.fetch)10.0.1.5/cgi-bin/who") }
            #expect(answers.filter { $0 == "b1 10.0.1.10" }.count == 5, "\(answers)")
            #expect(answers.filter { $0 == "b2 10.0.1.10" }.count == 5, "\(answers)")
            // A task that calls its own service reaches itself, too.
            let own = Set((0..<4).map { _ in node.inside("b1", "\(Self.fetch)10.0.1.5/cgi-bin/who").prefix(2) })
            #expect(own == ["b1", "b2"])
        }
    }

    @Test func `a published port answers on every address of the node and keeps the client's`() async throws {
        try await withNode { node, network in
            _ = await network.apply(.example())
            for server in ["b1", "b2"] { try node.serve(server, port: 80) }
            let outside = (0..<6).map { _ in node.client("\(Self.fetch)198.18.0.11:8080/cgi-bin/who") }
            #expect(Set(outside) == ["b1 198.18.0.200", "b2 198.18.0.200"])
            #expect(node.host("\(Self.fetch)127.0.0.1:8080/cgi-bin/who").hasPrefix("b"))
            #expect(node.host("\(Self.fetch)198.18.0.11:8080/cgi-bin/who").hasPrefix("b"))
            #expect(node.inside("c1", "\(Self.fetch)198.18.0.11:8080/cgi-bin/who").hasPrefix("b"))
        }
    }

    @Test func `a task that goes takes no new connection, and without tasks the address refuses at once`() async throws {
        try await withNode { node, network in
            _ = await network.apply(.example())
            for server in ["b1", "b2"] { try node.serve(server, port: 80) }
            _ = await network.apply(.example(backends: ["10.0.1.22"]))
            let answers = (0..<6).map { _ in node.inside("c1", "\(Self.fetch)10.0.1.5/cgi-bin/who") }
            #expect(Set(answers) == ["b2 10.0.1.10"])
            _ = await network.apply(.example(backends: []))
            let refused = node.inside("c1", "busybox nc -w 3 10.0.1.5 80 < /dev/null; echo status $?")
            #expect(refused.contains("refused"), "\(refused)")
        }
    }

    @Test func `a connection that a silent task never answered does not lead its client's port there again`() async throws {
        try await withNode { node, network in
            _ = await network.apply(.example())
            for server in ["b1", "b2"] { try node.serve(server, port: 80) }
            let drop = "add chain ip silent i { type filter hook input priority 0; policy drop; }"
            #expect(node.inside("b1", "nft 'add table ip silent; \(drop)'") == "")
            // Tasks alternate, so one of two ports meets the silent one.
            let unanswered = [40_001, 40_002].filter { port in
                node.inside("c1", "curl -s -m 1 --local-port \(port) http://10.0.1.5/cgi-bin/who") == ""
            }
            #expect(unanswered.count == 1)
            _ = await network.apply(.example(backends: ["10.0.1.22"]))
            for port in unanswered {
                #expect(node.inside("c1", "\(Self.fetch)10.0.1.5/cgi-bin/who --local-port \(port)") == "b2 10.0.1.10")
            }
        }
    }

    @Test func `networks do not see one another and an internal one has no way out`() async throws {
        try await withNode { node, network in
            var desired = DesiredNetworking.example()
            desired.networks["other"] = DesiredNetworking.network("other", "10.0.2.0/24", isInternal: true)
            desired.sandboxes["o1"] = DesiredNetworking.sandbox("o1", on: "other", "10.0.2.10", way: nil)
            #expect(await network.apply(desired).isClean)
            try node.serve("b1", port: 80)
            #expect(node.inside("c1", "busybox ping -c1 -W1 198.18.0.200").contains("1 packets received"))
            #expect(node.inside("o1", "busybox ping -c1 -W1 10.0.2.1").contains("1 packets received"))
            #expect(!node.inside("o1", "busybox ping -c1 -W1 198.18.0.200 2>&1").contains("1 packets received"))
            #expect(!node.inside("c1", "busybox ping -c1 -W1 10.0.2.10 2>&1").contains("1 packets received"))
            #expect(node.inside("o1", "\(Self.fetch)10.0.1.21/cgi-bin/who; echo status $?") != "b1 10.0.2.10\nstatus 0")
        }
    }

    @Test func `a restarted daemon adopts what is there and no connection notices`() async throws {
        try await withNode { node, network in
            _ = await network.apply(.example())
            for server in ["b1", "b2"] { try node.serve(server, port: 80) }
            let before = node.inside("c1", "ip -o link show eth0")
            // A second daemon on the same directory, as after `kill -9` of the first.
            await network.shutdown(removeEverything: false)
            let heir = node.makeNetwork()
            try await heir.start()
            #expect(await heir.apply(.example()).isClean)
            #expect(node.inside("c1", "ip -o link show eth0") == before)
            #expect(node.inside("c1", "\(Self.fetch)10.0.1.5/cgi-bin/who").hasPrefix("b"))
            await heir.shutdown(removeEverything: true)
        }
    }

    @Test func `an interface whose container goes is no damage, but one that stays is`() async throws {
        try await withNode { node, network in
            var desired = DesiredNetworking.example()
            _ = await network.apply(desired)
            // As a kernel that is slow to clear namespaces away: a process holds this one.
            let holder = node.background("nsenter --net=\(node.directory)/netns/c1 sleep 60")
            node.keep(holder)
            let deadline = Date().addingTimeInterval(5)
            while shell("cat /proc/\(holder)/comm") != "sleep", Date() < deadline {}
            desired.sandboxes["c1"] = nil
            _ = await network.apply(desired)
            #expect(await network.repair() == [])
            #expect(await network.repair() == ["removed interface c1/0 from network app"])
            #expect(await network.repair() == [])
        }
    }

    @Test func `nothing is left when everything is removed`() async throws {
        let node = TestNode()
        defer { node.stop() }
        let links = node.host("ip -o link | wc -l")
        let network = node.makeNetwork()
        try await network.start()
        _ = await network.apply(.example())
        #expect(node.host("ip -o link | wc -l") != links)
        await network.shutdown(removeEverything: true)
        let deadline = Date().addingTimeInterval(3)
        while node.host("ip -o link | wc -l") != links, Date() < deadline {}
        #expect(node.host("ip -o link | wc -l") == links)
        #expect(node.host("nft list ruleset") == "")
        #expect(shell("grep -c \(node.directory) /proc/mounts") == "0")
    }

    @Test func `a port that another process holds is reported by name`() async throws {
        try await withNode { node, network in
            node.keep(node.background("nsenter --net=/run/netns/\(node.name)h busybox nc -l -p 8080"))
            let deadline = Date().addingTimeInterval(5)
            while !node.host("ss -ltn").contains(":8080"), Date() < deadline {}
            let report = await network.apply(.example())
            #expect(report.ports.values.first?.contains("8080") == true, "\(report)")
            #expect(report.ports.values.first?.contains("in use") == true, "\(report)")
        }
    }
}
