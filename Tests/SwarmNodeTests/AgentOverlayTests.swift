import Allocation
import Consensus
import Dispatching
import Membership
import NameService
import Overlay
import Store
import SwarmCore
import SwarmModel
import Testing

@testable import SwarmNode

private func ip(_ text: String) -> IPv4Address { IPv4Address(text) ?? IPv4Address(0) }

/// What an agent makes of tasks on other nodes.
@Suite struct AgentOverlayTests {
    private static let now = Timestamp(nanoseconds: 1_800_000_000_000_000_000)
    private var agent: AgentMachine
    private var networking = DesiredNetworking()
    private var names = NameSpaceView()
    private var applied = 0

    init() {
        agent = AgentMachine(
            facts: AgentFacts(hostname: "n1", namespaceDirectory: "/run/netns", dataPathAddress: ip("198.18.0.1")),
            seed: 1)
        send(.found([]))
    }

    private mutating func send(_ event: AgentEvent) {
        for case .applyNetworking(let networking, let names, _) in agent.receive(event, at: Self.now) {
            (self.networking, self.names) = (networking, names)
            applied += 1
        }
    }

    private static func network(_ id: String, _ subnet: String, mtu: String? = nil, ingress: Bool = false) -> Network {
        var network = Network(id: id, spec: NetworkSpec(name: id, ingress: ingress ? true : nil))
        if let mtu {
            network.spec.driverConfiguration = Driver(
                name: "overlay", options: ["com.docker.network.driver.mtu": mtu])
        }
        network.subnet = IPv4Subnet(subnet)
        network.gateway = network.subnet?.network.advanced(by: 1)
        network.vni = 4097
        return network
    }

    private static func endpoint(_ id: String, on node: String, _ number: Int, isServing: Bool) -> TaskEndpoint {
        TaskEndpoint(
            taskID: id, nodeID: node, taskName: "web.\(number)", containerID: "c\(id)", hostname: "",
            addresses: ["app": ip("10.0.1.\(number)"), "ingress": ip("10.0.0.\(number)")], isServing: isServing,
            nodeAddress: ip("192.0.2.\(number)"))
    }

    private static func assignment(mtu: String? = nil) -> Assignment {
        var service = ServiceEndpoints(id: "s", name: "web", isRoundRobin: false)
        service.virtualIPs = ["app": ip("10.0.1.5")]
        service.networks = ["app"]
        service.ports = [PortConfig(proto: "tcp", targetPort: 80, publishedPort: 8080, publishMode: "ingress")]
        service.endpoints = [
            endpoint("own", on: "n1", 11, isServing: true), endpoint("two", on: "n2", 12, isServing: true),
            endpoint("three", on: "n3", 13, isServing: true), endpoint("new", on: "n3", 14, isServing: false),
        ]
        var assignment = Assignment(nodeID: "n1")
        assignment.networks = [
            network("app", "10.0.1.0/24", mtu: mtu), network("ingress", "10.0.0.0/24", ingress: true),
        ]
        assignment.services = [service]
        return assignment
    }

    private var app: DesiredNetwork? { networking.networks["app"] }
    private var balanced: [IPv4Address] { app?.services.first?.backends ?? [] }
    private var published: [IPv4Address] { networking.publishedPorts.first?.backends ?? [] }
    private var named: [IPv4Address] {
        names.directory.networks["app"]?.services.first?.endpoints.map(\.address).sorted() ?? []
    }

    @Test mutating func `every task elsewhere is reachable and only those that serve are balanced to`() {
        send(.peers(["n2": ip("198.18.0.2"), "n3": ip("198.18.0.3"), "n4": ip("198.18.0.4")]))
        send(.assigned(Self.assignment()))
        #expect(
            app?.remotes == [
                ip("10.0.1.12"): ip("198.18.0.2"), ip("10.0.1.13"): ip("198.18.0.3"), ip("10.0.1.14"): ip("198.18.0.3"),
            ])
        #expect(networking.networks["ingress"]?.remotes.count == 3)
        #expect(balanced == [ip("10.0.1.12"), ip("10.0.1.13")])
        #expect(published == [ip("10.0.0.12"), ip("10.0.0.13")])
        #expect(named == [ip("10.0.1.12"), ip("10.0.1.13")])
        #expect(networking.tunnel?.peers == [ip("198.18.0.2"), ip("198.18.0.3"), ip("198.18.0.4")])
    }

    @Test mutating func `a node that nobody has gossiped of is reached at its address in the store`() {
        send(.peers(["n2": ip("198.18.0.2")]))
        send(.assigned(Self.assignment()))
        #expect(app?.remotes[ip("10.0.1.12")] == ip("198.18.0.2"))
        #expect(app?.remotes[ip("10.0.1.13")] == ip("192.0.2.13"))
        #expect(networking.tunnel?.peers.contains(ip("192.0.2.13")) == true)
        send(.peers(["n2": ip("198.18.0.2"), "n3": ip("198.18.0.3")]))
        #expect(app?.remotes[ip("10.0.1.13")] == ip("198.18.0.3"))
    }

    @Test mutating func `a dead node leaves balancers, ports and names in one step and comes back in one`() {
        send(.peers(["n2": ip("198.18.0.2"), "n3": ip("198.18.0.3")]))
        send(.assigned(Self.assignment()))
        let before = (networking, names, applied)
        send(.unreachable(["n3"]))
        #expect(applied == before.2 + 1)
        #expect(balanced == [ip("10.0.1.12")])
        #expect(published == [ip("10.0.0.12")])
        #expect(named == [ip("10.0.1.12")])
        // It may only seem dead: what it still holds open goes on.
        #expect(app?.remotes == before.0.networks["app"]?.remotes)
        #expect(networking.tunnel == before.0.tunnel)
        send(.unreachable([]))
        #expect(applied == before.2 + 2)
        #expect(networking == before.0)
        #expect(names == before.1)
    }

    @Test mutating func `nothing is applied when nothing changes`() {
        send(.peers(["n2": ip("198.18.0.2")]))
        send(.assigned(Self.assignment()))
        let before = applied
        send(.peers(["n2": ip("198.18.0.2")]))
        send(.assigned(Self.assignment()))
        #expect(applied == before)
    }

    @Test(arguments: [(nil, 65_485), ("1400", 1350), ("rubbish", 65_485), ("1", 576)] as [(String?, Int)])
    mutating func `a network's option names the underlay's packet size`(option: String?, mtu: Int) {
        send(.assigned(Self.assignment(mtu: option)))
        #expect(app?.mtu == mtu)
    }

    @Test mutating func `forty networks of two hundred tasks are cheap`() {
        var assignment = Assignment(nodeID: "n1")
        for network in 10..<50 {
            assignment.networks.append(Self.network("net\(network)", "10.\(network).0.0/16"))
            var service = ServiceEndpoints(id: "s\(network)", name: "s\(network)", isRoundRobin: false)
            service.virtualIPs = ["net\(network)": ip("10.\(network).0.5")]
            service.networks = ["net\(network)"]
            service.endpoints = (0..<200).map { number in
                TaskEndpoint(
                    taskID: "t\(network)-\(number)", nodeID: "n\(2 + number % 9)", taskName: "", containerID: "",
                    hostname: "", addresses: ["net\(network)": ip("10.\(network).1.\(number)")])
            }
            assignment.services.append(service)
        }
        send(.peers(Dictionary(uniqueKeysWithValues: (2..<12).map { ("n\($0)", ip("198.18.0.\($0)")) })))
        let clock = ContinuousClock()
        let first = clock.measure { send(.assigned(assignment)) }
        assignment.services[7].endpoints[3].isServing = false
        let change = clock.measure { send(.assigned(assignment)) }
        var operations: [NetworkOperation] = []
        let planning = clock.measure {
            operations = NetworkPlanner.plan(networking, from: ObservedNetworking()).operations
        }
        #expect(operations.count >= 160)
        print("40 networks of 200 tasks: \(first), one change: \(change), plan: \(planning)")
        #expect(change < .seconds(1))
    }
}

/// Where the agent learns data-path addresses: from gossip.
@Suite struct GossipedAddressTests {
    @Test func `members are tunnelled to where they say, or to where they gossip`() throws {
        var setup = ClusterSetup()
        func contact(_ number: Int, dataPath: String) -> Contact {
            Contact(
                address: PeerAddress(host: "192.0.2.\(number)", port: 7946),
                metadata: MemberMetadata(role: .worker, dataPathAddress: dataPath))
        }
        setup.gossip = ClusterSetup.Gossip(contact: contact(1, dataPath: "198.18.0.1"), incarnation: 1)
        var facts = NodeHarness.facts
        facts.dataPathAddress = ip("198.18.0.1")
        var node = NodeMachine(
            nodeID: "n1", agentFacts: facts, allocationFacts: .init(), codec: TableCodec(), seed: 1, setup: setup)
        let now = Instant(nanoseconds: 1_000_000_000)
        let time = Timestamp(nanoseconds: 1_800_000_000_000_000_000)
        _ = node.receive(.recovered(.init()), at: now, time: time)
        _ = node.receive(.gossip(.join(seeds: [])), at: now, time: time)
        let others = [
            Member(id: "n2", contact: contact(2, dataPath: "198.18.0.2"), incarnation: 1, status: .alive),
            Member(id: "n3", contact: contact(3, dataPath: ""), incarnation: 1, status: .alive),
        ]
        let state = StateExchange(from: "n2", members: others)
        _ = node.receive(.gossip(.exchangeRequested(ticket: 1, state)), at: now, time: time)
        #expect(node.agent.peers == ["n2": ip("198.18.0.2"), "n3": ip("192.0.2.3")])
    }
}
