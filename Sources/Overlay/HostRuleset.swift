package import SwarmCore

/// The content of the host's table: published ports, the way out, and the walls between networks.
package struct HostRuleset: Sendable, Equatable {
    package static let tableName = "inet swarmd"

    /// The subnets that have a door to this node, sorted.
    package var subnets: [IPv4Subnet]
    package var ports: [PublishedPort]

    package init(subnets: [IPv4Subnet], ports: [PublishedPort]) {
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
            let elements = ports.map { "\($0.transport.rawValue) . \($0.publishedPort) : goto \($0.chainName)" }
            text += "    elements = { \(elements.joined(separator: ",\n      ")) }\n"
        }
        text += "  }\n"
        return text + Self.baseChains(doors: doors) + "}\n"
    }

    private func set(_ name: String, _ elements: [String]) -> String {
        let content = elements.isEmpty ? "" : "    elements = { \(elements.joined(separator: ", ")) }\n"
        return "  set \(name) {\n    type ipv4_addr\n    flags interval\n    auto-merge\n\(content)  }\n"
    }

    private func chain(_ port: PublishedPort) -> String {
        guard !port.backends.isEmpty else { return "  chain \(port.chainName) {\n    accept\n  }\n" }
        let slots = port.backends.enumerated().map { "\($0.offset) : \($0.element)" }.joined(separator: ", ")
        let choice = port.backends.count == 1
            ? "\(port.backends[0])" : "numgen inc mod \(port.backends.count) map { \(slots) }"
        return """
              chain \(port.chainName) {
                meta l4proto \(port.transport.rawValue) dnat ip to \(choice):\(port.targetPort)
              }

            """
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
}
