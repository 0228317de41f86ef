package import SwarmCore

/// The content of the host's table: published ports, the way out, and the walls between networks.
package struct HostRuleset: Sendable, Equatable {
    package static let tableName = "inet swarmd"

    /// The subnets that have a door to this node, sorted.
    package var subnets: [IPv4Subnet]
    package var ports: [PublishedPort]
    package var tunnel: DesiredTunnel?

    package init(subnets: [IPv4Subnet], ports: [PublishedPort], tunnel: DesiredTunnel? = nil) {
        self.tunnel = tunnel
        self.subnets = subnets.sorted { ($0.address, $0.prefixLength) < ($1.address, $1.prefixLength) }
        self.ports = ports
    }

    /// The whole table as one transaction. `doors` is the name prefix of every link that leads into a
    /// network.
    ///
    /// A port without a running task is refused rather than handed to nobody. Sources are kept, except a
    /// node's own
    /// loopback and its own containers, whose replies would not come back this way.
    package func replacement(doors: String) -> String {
        let name = Self.tableName
        let subnets = self.subnets.map(\.description)
        var text = "table \(name)\ndelete table \(name)\ntable \(name) {\n"
        text += set("overlays", subnets) + set("nodelocal", ["127.0.0.0/8"] + subnets)
        for port in ports { text += chain(port) }
        text += "  map ports {\n    type inet_proto . inet_service : verdict\n"
        if !ports.isEmpty {
            text += "    elements = { \(ports.map(\.element).joined(separator: ",\n      ")) }\n"
        }
        text += "  }\n"
        if let tunnel { text += tunnelGuard(tunnel) }
        return text + Self.baseChains(doors: doors) + "}\n"
    }

    /// VXLAN has no authentication: whoever may send to the port may speak for any container, so only members may.
    /// In the input hook, where fragments are put together again and nothing is meant for others.
    private func tunnelGuard(_ tunnel: DesiredTunnel) -> String {
        let peers = tunnel.peers.sorted().map(\.description).joined(separator: ",\n      ")
        let elements = peers.isEmpty ? "" : "    elements = { \(peers) }\n"
        return """
              set members {
                type ipv4_addr
            \(elements)  }
              chain tunnels {
                type filter hook input priority raw; policy accept;
                udp dport \(tunnel.port) ip saddr != @members drop
              }

            """
    }

    /// The commands from `old` to this content, as transactions to run in order; nil when more than ports and members
    /// differ.
    ///
    /// Chains of closed ports go in the second one: older kernels hold a chain for busy that lost its last reference in
    /// the same transaction.
    package func transactions(from old: HostRuleset) -> [String]? {
        guard subnets == old.subnets, tunnel?.port == old.tunnel?.port else { return nil }
        var first: [String] = []
        var second: [String] = []
        let name = Self.tableName
        let (before, after) = (old.portsByKey, portsByKey)
        for key in after.keys.sorted() {
            guard let port = after[key], before[key] != port else { continue }
            let chain = "\(name) \(port.chainName)"
            first += ["add chain \(chain)", "flush chain \(chain)", "add rule \(chain) \(port.rule)"]
            if before[key] == nil { first.append("add element \(name) ports { \(port.element) }") }
        }
        for key in before.keys.sorted() where after[key] == nil {
            guard let port = before[key] else { continue }
            first.append(
                "delete element \(name) ports { \(port.transport.rawValue) . \(port.publishedPort) }")
            first.append("flush chain \(name) \(port.chainName)")
            second.append("delete chain \(name) \(port.chainName)")
        }
        let (was, now) = (old.tunnel?.peers ?? [], tunnel?.peers ?? [])
        for member in now.subtracting(was).sorted() {
            first.append("add element \(name) members { \(member) }")
        }
        for member in was.subtracting(now).sorted() {
            first.append("delete element \(name) members { \(member) }")
        }
        return [first, second].filter { !$0.isEmpty }.map { $0.joined(separator: "\n") + "\n" }
    }

    private var portsByKey: [PublishedPort.Key: PublishedPort] {
        Dictionary(ports.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    }

    private func set(_ name: String, _ elements: [String]) -> String {
        let content = elements.isEmpty ? "" : "    elements = { \(elements.joined(separator: ", ")) }\n"
        return "  set \(name) {\n    type ipv4_addr\n    flags interval\n    auto-merge\n\(content)  }\n"
    }

    private func chain(_ port: PublishedPort) -> String {
        "  chain \(port.chainName) {\n    \(port.rule)\n  }\n"
    }

    private static func baseChains(doors: String) -> String {
        """
          chain guard {
            type filter hook prerouting priority raw; policy accept;
            iifname != "lo" ip daddr 127.0.0.0/8 drop
          }
          chain pre {
            type nat hook prerouting priority dstnat; policy accept;
            fib daddr type local meta l4proto . th dport vmap @ports
          }
          chain out {
            type nat hook output priority -100; policy accept;
            fib daddr type local meta l4proto . th dport vmap @ports
          }
          chain post {
            type nat hook postrouting priority srcnat; policy accept;
            oifname "\(doors)*" ct status dnat ip saddr @nodelocal masquerade
            oifname != "\(doors)*" ip saddr @overlays masquerade
          }
          chain forward {
            type filter hook forward priority filter; policy accept;
            oifname "\(doors)*" ct state established,related accept
            oifname "\(doors)*" ct status dnat accept
            oifname "\(doors)*" drop
          }

        """
    }
}

extension PublishedPort {
    var chainName: String { "\(transport.rawValue)_\(publishedPort)" }
    var element: String { "\(transport.rawValue) . \(publishedPort) : goto \(chainName)" }

    /// Without a task the packet goes on to the node itself, where nobody listens.
    var rule: String {
        guard !backends.isEmpty else { return "accept" }
        let slots = backends.enumerated().map { "\($0.offset) : \($0.element)" }.joined(separator: ", ")
        let choice =
            backends.count == 1 ? "\(backends[0])" : "numgen inc mod \(backends.count) map { \(slots) }"
        let door = hostAddress.map { "ip daddr \($0) " } ?? ""
        return "\(door)meta l4proto \(transport.rawValue) dnat ip to \(choice):\(targetPort)"
    }
}
