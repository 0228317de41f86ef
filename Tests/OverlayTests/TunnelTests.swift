import SwarmCore
import Testing

@testable import Overlay

private func ip(_ text: String) -> IPv4Address { IPv4Address(text) ?? IPv4Address(0) }

@Suite struct ForwardingTableTests {
    private let a = ip("10.0.1.2")
    private let b = ip("10.0.1.3")
    private let near = ip("198.18.0.1")
    private let far = ip("198.18.0.2")

    @Test func `only entries that differ change, the way first and the answer for it last`() {
        let old = ForwardingTable(remotes: [a: near])
        let new = ForwardingTable(remotes: [a: near, b: far])
        let mac = MACAddress(derivedFrom: b)
        #expect(new.additions(to: old) == [.setTunnel(mac, far), .setBridged(mac), .setNeighbour(b, mac)])
        #expect(new.removals(from: old) == [])
        #expect(old.removals(from: new) == [.removeNeighbour(b), .removeBridged(mac), .removeTunnel(mac)])
        #expect(new.additions(to: new).isEmpty)
    }

    @Test func `a task that moves changes one entry, and the changes lead to the new table`() {
        let old = ForwardingTable(remotes: [a: near, b: near], doors: [near])
        let new = ForwardingTable(remotes: [a: far], doors: [far])
        var table = old
        #expect(new.additions(to: old).first == .setTunnel(MACAddress(derivedFrom: a), far))
        for change in new.additions(to: old) + new.removals(from: old) { table.apply(change) }
        #expect(table == new)
    }

    @Test func `tasks, doors and bridges never share an address`() {
        let addresses = [MACAddress(derivedFrom: a), MACAddress(doorOf: a), MACAddress(bridgeOf: a)]
        #expect(Set(addresses).count == 3)
        for mac in addresses { #expect(mac.bytes[0] & 0b11 == 0b10, "locally administered, and no group") }
        #expect(MACAddress(doorOf: a).description == "02:43:0a:00:01:02")
        #expect(MACAddress("02:43:0a:00:01:02") == MACAddress(doorOf: a))
    }
}

@Suite struct TunnelPlanTests {
    private var desired = DesiredNetworking()
    private var observed = ObservedNetworking()

    init() {
        var network = DesiredNetwork(
            id: "app", name: "app", subnet: IPv4Subnet(ip("10.0.1.0"), prefixLength: 24), gateway: ip("10.0.1.1"),
            mtu: 65_485, vni: 4097, isInternal: false, isIngress: false, nodeAddress: nil, services: [])
        network.remotes = [ip("10.0.1.9"): ip("198.18.0.2")]
        desired.networks["app"] = network
        desired.tunnel = DesiredTunnel(address: ip("198.18.0.1"), peers: [ip("198.18.0.2")])
        observed.linkMTUs = [ip("198.18.0.1"): 9000]
    }

    private func operations() -> [NetworkOperation] { NetworkPlanner.plan(desired, from: observed).operations }

    @Test func `the tunnel takes its share of what the underlay carries`() {
        for case .createNetwork(let network, _) in operations() { #expect(network.mtu == 8950) }
        for case .openTunnel(let network, _) in operations() { #expect(network.mtu == 8950) }
        #expect(operations().count >= 3)
    }

    @Test func `a data-path address that is on no link is told, and the network still works on this node`() {
        var plan = NetworkPlanner.plan(desired, from: observed)
        #expect(plan.refusals.isEmpty)
        var elsewhere = observed
        elsewhere.linkMTUs = [:]
        plan = NetworkPlanner.plan(desired, from: elsewhere)
        #expect(plan.refusals[.host]?.contains("198.18.0.1") == true)
        #expect(plan.refusals[.network("app")] == nil)
    }

    @Test mutating func `ways come before balancers and go after them`() throws {
        var before = ObservedNetwork()
        before.tunnel = ObservedTunnel(vni: 4097, port: 4789, address: ip("198.18.0.1"), isBridged: true)
        before.forwarding = ForwardingTable(remotes: [ip("10.0.1.8"): ip("198.18.0.2")])
        observed.networks["app"] = before
        desired.networks["app"]?.services = [
            VirtualService(id: "s", virtualIP: ip("10.0.1.5"), backends: [ip("10.0.1.9")])
        ]
        let kinds = operations().compactMap { operation in
            switch operation {
            case .setForwarding(_, let changes): changes.first == .removeNeighbour(ip("10.0.1.8")) ? "forget" : "learn"
            case .setBalancer: "balance"
            default: nil
            }
        }
        #expect(kinds == ["learn", "balance", "forget"])
    }

    @Test mutating func `what came to this node loses its way at once and what runs here is sought nowhere else`() {
        var before = ObservedNetwork()
        before.tunnel = ObservedTunnel(vni: 4097, port: 4789, address: ip("198.18.0.1"), isBridged: true)
        before.forwarding = ForwardingTable(remotes: [ip("10.0.1.9"): ip("198.18.0.2")])
        observed.networks["app"] = before
        desired.sandboxes["c"] = DesiredSandbox(
            id: "c",
            interfaces: [
                DesiredInterface(
                    networkID: "app", address: ip("10.0.1.9"), prefixLength: 24,
                    mac: MACAddress(derivedFrom: ip("10.0.1.9")))
            ], defaultNetwork: "app")
        let changes = operations().compactMap { operation in
            if case .setForwarding(_, let changes) = operation { changes } else { nil }
        }
        #expect(changes.map(\.count) == [3])
        let removal = operations().firstIndex { if case .setForwarding = $0 { true } else { false } }
        let attachment = operations().firstIndex { if case .attach = $0 { true } else { false } }
        #expect((removal ?? .max) < (attachment ?? 0))
    }

    @Test mutating func `another identifier, port or address makes the device and all its entries anew`() {
        var before = ObservedNetwork()
        before.tunnel = ObservedTunnel(vni: 4097, port: 8472, address: ip("198.18.0.1"), isBridged: true)
        before.forwarding = ForwardingTable(remotes: [ip("10.0.1.9"): ip("198.18.0.2")])
        observed.networks["app"] = before
        #expect(operations().contains(.closeTunnel(networkID: "app")))
        let entries = operations().compactMap { operation in
            if case .setForwarding(_, let changes) = operation { changes.count } else { nil }
        }
        #expect(entries == [3])
    }
}

@Suite struct HostRulesetStepTests {
    private func port(_ number: UInt16, _ backends: [String]) -> PublishedPort {
        PublishedPort(
            transport: .tcp, publishedPort: number, targetPort: 80, mode: .ingress, backends: backends.map(ip))
    }

    @Test func `a backend more is one rule, a member more one element`() {
        let tunnel = DesiredTunnel(address: ip("198.18.0.1"), peers: [ip("198.18.0.2")])
        let old = HostRuleset(subnets: [], ports: [port(80, ["10.0.0.2"]), port(81, [])], tunnel: tunnel)
        var new = HostRuleset(subnets: [], ports: [port(80, ["10.0.0.2", "10.0.0.3"]), port(81, [])], tunnel: tunnel)
        new.tunnel?.peers.insert(ip("198.18.0.3"))
        #expect(
            new.transactions(from: old) == [
                """
                add chain inet swarmd tcp_80
                flush chain inet swarmd tcp_80
                add rule inet swarmd tcp_80 meta l4proto tcp dnat ip to numgen inc mod 2 map \
                { 0 : 10.0.0.2, 1 : 10.0.0.3 }:80
                add element inet swarmd members { 198.18.0.3 }

                """
            ])
        #expect(new.transactions(from: new) == [])
    }

    @Test func `a closed port loses its chain only after the last reference to it`() throws {
        let old = HostRuleset(subnets: [], ports: [port(80, [])])
        let steps = try #require(HostRuleset(subnets: [], ports: []).transactions(from: old))
        #expect(steps.count == 2)
        #expect(steps[0].contains("delete element inet swarmd ports { tcp . 80 }"))
        #expect(steps[1] == "delete chain inet swarmd tcp_80\n")
    }

    @Test func `another port for tunnels makes the table anew`() {
        let old = HostRuleset(subnets: [], ports: [], tunnel: DesiredTunnel(address: ip("198.18.0.1")))
        let new = HostRuleset(subnets: [], ports: [], tunnel: DesiredTunnel(address: ip("198.18.0.1"), port: 4790))
        #expect(new.transactions(from: old) == nil)
        #expect(new.replacement(doors: "swm-").contains("udp dport 4790 ip saddr != @members drop"))
    }

    @Test func `a door more is three elements`() throws {
        var old = BalancerTable(gateway: ip("10.0.0.1"))
        old.doors = [ip("198.18.0.1")]
        var new = old
        new.doors.insert(ip("198.18.0.2"))
        let steps = try #require(new.transactions(from: old))
        #expect(steps.count == 1)
        #expect(steps[0].split(separator: "\n").count == 3)
        #expect(steps[0].contains("back { 3323068418 : 02:43:c6:12:00:02 }"))
    }
}
