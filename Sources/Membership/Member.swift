/// A node's identifier: it stays the same when the node comes back on another address.
package typealias NodeID = String
/// A member's own version counter: only the member itself raises it.
package typealias Incarnation = UInt64

/// Where a member listens for gossip, datagrams and streams alike.
package struct PeerAddress: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// A literal IPv4 or IPv6 address, without brackets.
    package var host: String
    package var port: UInt16

    package init(host: String, port: UInt16) { (self.host, self.port) = (host, port) }

    package static func < (left: PeerAddress, right: PeerAddress) -> Bool {
        (left.host, left.port) < (right.host, right.port)
    }
    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// What a member says of itself; small, since it travels inside datagrams.
package struct MemberMetadata: Sendable, Hashable {
    package enum Role: UInt8, Sendable, Hashable { case worker = 0, manager = 1 }
    package var role: Role
    /// Addresses on which the node serves its peers, best first.
    package var addresses: [String]
    /// Where tunnels to this node end.
    package var dataPathAddress: String
    package var version: String

    package init(role: Role, addresses: [String] = [], dataPathAddress: String = "", version: String = "") {
        (self.role, self.addresses) = (role, addresses)
        (self.dataPathAddress, self.version) = (dataPathAddress, version)
    }

    /// Bytes of an encoding, counted generously; see ``GossipDatagram/sizeBound``.
    var sizeBound: Int {
        4 + addresses.reduce(0) { $0 + $1.utf8.count + 4 } + dataPathAddress.utf8.count + 4 + version.utf8.count + 4
    }
}

/// How to reach a member and what it is.
package struct Contact: Sendable, Hashable {
    package var address: PeerAddress
    package var metadata: MemberMetadata

    package init(address: PeerAddress, metadata: MemberMetadata) { (self.address, self.metadata) = (address, metadata) }

    var sizeBound: Int { address.host.utf8.count + 10 + metadata.sizeBound }

    /// A total order, so that two contacts of one incarnation resolve equally everywhere.
    func precedes(_ other: Contact) -> Bool {
        if address != other.address { return address < other.address }
        if metadata.role != other.metadata.role { return metadata.role.rawValue < other.metadata.role.rawValue }
        if metadata.addresses != other.metadata.addresses {
            return metadata.addresses.lexicographicallyPrecedes(other.metadata.addresses)
        }
        return (metadata.dataPathAddress, metadata.version)
            < (other.metadata.dataPathAddress, other.metadata.version)
    }
}

/// Statuses of one incarnation, in the order in which they override one another.
package enum MemberStatus: UInt8, Sendable, Hashable { case alive = 0, suspect = 1, dead = 2, left = 3 }

/// One member as this node sees it.
package struct Member: Sendable, Hashable {
    package var id: NodeID
    package var contact: Contact
    package var incarnation: Incarnation
    package var status: MemberStatus

    package init(id: NodeID, contact: Contact, incarnation: Incarnation, status: MemberStatus) {
        (self.id, self.contact, self.incarnation, self.status) = (id, contact, incarnation, status)
    }

    /// Counts as part of the cluster: it may still refute a suspicion.
    package var isPresent: Bool { status == .alive || status == .suspect }
}
