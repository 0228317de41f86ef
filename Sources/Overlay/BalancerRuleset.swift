import SwarmCore

/// nftables text of one network's namespace.
extension BalancerTable {
    package static let tableName = "inet swarm"

    private struct ClassKey: Hashable, Comparable {
        var slots: UInt32
        var bucket: UInt32
        var mark: UInt32 { slots << 20 | bucket }
        var chain: String { "k\(slots)_\(bucket)" }
        static func < (left: ClassKey, right: ClassKey) -> Bool { left.mark < right.mark }
    }

    private var classes: [ClassKey] {
        Set(
            entries.values.filter { !$0.slots.isEmpty }
                .map { ClassKey(slots: UInt32($0.slots.count), bucket: $0.bucket) }
        ).sorted()
    }

    private static func classRules(_ key: ClassKey) -> [String] {
        [
            "meta mark set meta mark & 0x000fffff",
            "dnat ip to meta mark . numgen inc mod \(key.slots) map @be4",
            "drop",
        ]
    }

    private var serviceElements: [String] {
        entries.keys.sorted().compactMap { address in
            entries[address].flatMap { $0.slots.isEmpty ? nil : "\(address) : \($0.mark)" }
        }
    }

    private var backendElements: [String] {
        entries.values.sorted { $0.number < $1.number }.flatMap { entry in
            entry.slots.enumerated().map { "\(entry.number) . \($0.offset) : \($0.element)" }
        }
    }

    /// A conntrack zone, of which there are 65,535. The low half of the data-path address tells all nodes of one /16
    /// apart; of others, the upper half spreads them. Two doors with one zone only lose what zones are for.
    private static func zone(_ door: IPv4Address) -> UInt32 {
        let (high, low) = (door.value >> 16, door.value & 0xffff)
        return max(1, low ^ (high &* 0x9e37 & 0xffff))
    }

    private static func doorElements(_ door: IPv4Address) -> [(map: String, key: String, value: String)] {
        let mac = MACAddress(doorOf: door).description
        return [
            ("entry", mac, String(door.value)), ("zone", mac, String(zone(door))), ("back", String(door.value), mac),
        ]
    }

    private func block(_ head: String, _ type: String, _ elements: [String]) -> String {
        let content =
            elements.isEmpty ? "" : "\n    elements = { \(elements.joined(separator: ",\n      ")) }"
        return "  \(head) {\n    \(type)\(content)\n  }\n"
    }

    /// The whole table, replacing whatever was there in one transaction: established flows go on.
    package func replacement() -> String {
        var text = "table \(Self.tableName)\ndelete table \(Self.tableName)\ntable \(Self.tableName) {\n"
        text += block("map svc4", "typeof ip daddr : meta mark", serviceElements)
        text += block("map be4", "typeof meta mark . numgen inc mod 65536 : ip daddr", backendElements)
        for key in classes {
            text += "  chain \(key.chain) {\n"
            text += Self.classRules(key).map { "    \($0)\n" }.joined() + "  }\n"
        }
        text += block(
            "map classes", "type mark : verdict", classes.map { "\($0.mark) : goto \($0.chain)" })
        text += block(
            "set self4", "type ipv4_addr . ipv4_addr", members.sorted().map { "\($0) . \($0)" })
        text += """
              chain pre {
                type nat hook prerouting priority dstnat; policy accept;
                meta mark set ip daddr map @svc4
                meta mark & 0xfff0000f vmap @classes
              }
              chain post {
                type nat hook postrouting priority srcnat; policy accept;
                ct status dnat ip saddr . ip daddr @self4 snat ip to \(gateway)
              }

            """
        if !doors.isEmpty { text += returnPath() }
        return text + "}\n"
    }

    /// Replies go back, bridged, through the door their flow came in by; a conntrack zone for each door keeps one
    /// client port used towards two nodes apart, and two nodes whose doors have one address.
    private func returnPath() -> String {
        let elements = doors.sorted().flatMap(Self.doorElements)
        func content(_ map: String) -> [String] { elements.filter { $0.map == map }.map { "\($0.key) : \($0.value)" } }
        return block("map entry", "typeof ether saddr : ct mark", content("entry"))
            + block("map zone", "typeof ether saddr : ct zone", content("zone"))
            + block("map back", "typeof ct mark : ether daddr", content("back"))
                + """
                  chain raw {
                    type filter hook prerouting priority raw; policy accept;
                    ct original zone set ether saddr map @zone
                  }
                  chain mangle {
                    type filter hook prerouting priority mangle; policy accept;
                    ct state new ct mark set ether saddr map @entry
                    ct direction reply ether daddr set ct mark map @back
                  }

                """
    }

    /// The element commands from `old` to this content, as transactions to run in order; nil when the
    /// table's frame differs.
    ///
    /// Slots beyond a shrunken service go in the second transaction: a packet may have read the old count
    /// before the first.
    package func transactions(from old: BalancerTable) -> [String]? {
        guard gateway == old.gateway, doors.isEmpty == old.doors.isEmpty else { return nil }
        var first: [String] = []
        var second: [String] = []
        let name = Self.tableName
        for key in Set(classes).subtracting(old.classes).sorted() {
            first.append("add chain \(name) \(key.chain)")
            first.append("flush chain \(name) \(key.chain)")
            first += Self.classRules(key).map { "add rule \(name) \(key.chain) \($0)" }
            first.append("add element \(name) classes { \(key.mark) : goto \(key.chain) }")
        }
        for address in Set(entries.keys).union(old.entries.keys).sorted() {
            let (before, after) = (old.entries[address], entries[address])
            if before == after { continue }
            let number = after?.number ?? before?.number ?? 0
            let (oldSlots, newSlots) = (before?.slots ?? [], after?.slots ?? [])
            for (index, backend) in newSlots.enumerated() {
                let isPresent = index < oldSlots.count
                if isPresent && oldSlots[index] == backend { continue }
                if isPresent { first.append("delete element \(name) be4 { \(number) . \(index) }") }
                first.append("add element \(name) be4 { \(number) . \(index) : \(backend) }")
            }
            if oldSlots.count != newSlots.count {
                if !oldSlots.isEmpty { first.append("delete element \(name) svc4 { \(address) }") }
                if let after, !newSlots.isEmpty {
                    first.append("add element \(name) svc4 { \(address) : \(after.mark) }")
                }
            }
            for index in oldSlots.indices.dropFirst(newSlots.count) {
                second.append("delete element \(name) be4 { \(number) . \(index) }")
            }
        }
        for member in members.subtracting(old.members).sorted() {
            first.append("add element \(name) self4 { \(member) . \(member) }")
        }
        for member in old.members.subtracting(members).sorted() {
            first.append("delete element \(name) self4 { \(member) . \(member) }")
        }
        for element in doors.subtracting(old.doors).sorted().flatMap(Self.doorElements) {
            first.append("add element \(name) \(element.map) { \(element.key) : \(element.value) }")
        }
        for element in old.doors.subtracting(doors).sorted().flatMap(Self.doorElements) {
            first.append("delete element \(name) \(element.map) { \(element.key) }")
        }
        return [first, second].filter { !$0.isEmpty }.map { $0.joined(separator: "\n") + "\n" }
    }
}
