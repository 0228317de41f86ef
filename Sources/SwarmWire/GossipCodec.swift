package import Membership
package import SwarmCore

/// What gossip sends, as bytes; datagrams stay within ``GossipDatagram/sizeBound``.
package enum GossipCodec {
    package static let version: UInt8 = 1
    /// Members of one exchange; the membership protocol has its own, smaller bound.
    package static let membersMax = 1 << 16

    package static func encode(_ datagram: GossipDatagram) -> [UInt8] {
        var writer = WireWriter()
        writer.reserve(datagram.sizeBound)
        writer.byte(version)
        writer.text(datagram.from)
        switch datagram.body {
        case .ping(let sequence, let target):
            writer.byte(1)
            writer.number(sequence)
            writer.text(target)
        case .pingRequest(let sequence, let target, let address):
            writer.byte(2)
            writer.number(sequence)
            writer.text(target)
            writer.peerAddress(address)
        case .ack(let sequence):
            writer.byte(3)
            writer.number(sequence)
        case .nack(let sequence):
            writer.byte(4)
            writer.number(sequence)
        case .gossip: writer.byte(5)
        }
        writer.count(datagram.claims.count)
        for claim in datagram.claims { writer.claim(claim) }
        return writer.bytes
    }

    package static func decodeDatagram(_ bytes: [UInt8]) throws(SwarmError) -> GossipDatagram {
        var reader = WireReader(bytes, "a gossip datagram")
        try reader.checkVersion()
        let from = try reader.text()
        let body = try reader.datagramBody()
        let claims = try reader.list(each: 3, max: MembershipConfiguration.claimsPerDatagramMax) {
            reader throws(SwarmError) in try reader.claim()
        }
        try reader.end()
        return GossipDatagram(from: from, body: body, claims: claims)
    }

    package static func encode(_ exchange: StateExchange) -> [UInt8] {
        var writer = WireWriter()
        writer.byte(version)
        writer.text(exchange.from)
        writer.count(exchange.members.count)
        for member in exchange.members {
            writer.text(member.id)
            writer.byte(member.status.rawValue)
            writer.number(member.incarnation)
            writer.contact(member.contact)
        }
        return writer.bytes
    }

    package static func decodeExchange(_ bytes: [UInt8]) throws(SwarmError) -> StateExchange {
        var reader = WireReader(bytes, "an exchange of members")
        try reader.checkVersion()
        let from = try reader.text()
        let members = try reader.list(each: 10, max: membersMax) { reader throws(SwarmError) in
            try reader.member()
        }
        try reader.end()
        return StateExchange(from: from, members: members)
    }
}

extension WireWriter {
    fileprivate mutating func peerAddress(_ address: PeerAddress) {
        text(address.host)
        byte(UInt8(address.port >> 8))
        byte(UInt8(address.port & 0xFF))
    }

    fileprivate mutating func contact(_ contact: Contact) {
        peerAddress(contact.address)
        byte(contact.metadata.role.rawValue)
        texts(contact.metadata.addresses)
        text(contact.metadata.dataPathAddress)
        text(contact.metadata.version)
    }

    fileprivate mutating func claim(_ claim: Claim) {
        text(claim.subject)
        number(claim.incarnation)
        switch claim.content {
        case .alive(let contact):
            byte(1)
            self.contact(contact)
        case .suspect(let accuser, let silentMilliseconds):
            byte(2)
            text(accuser)
            number(UInt64(silentMilliseconds))
        case .dead(let accuser):
            byte(3)
            text(accuser)
        case .left: byte(4)
        }
    }
}

extension WireReader {
    fileprivate mutating func checkVersion() throws(SwarmError) {
        let version = try byte()
        guard version == GossipCodec.version else { throw damaged("format \(version) is not known") }
    }

    fileprivate mutating func datagramBody() throws(SwarmError) -> GossipDatagram.Body {
        switch try byte() {
        case 1: return .ping(sequence: try number(), target: try text())
        case 2: return .pingRequest(sequence: try number(), target: try text(), address: try peerAddress())
        case 3: return .ack(sequence: try number())
        case 4: return .nack(sequence: try number())
        case 5: return .gossip
        case let other: throw damaged("gossip \(other) is not known")
        }
    }

    fileprivate mutating func peerAddress() throws(SwarmError) -> PeerAddress {
        let host = try text()
        return PeerAddress(host: host, port: UInt16(try byte()) << 8 | UInt16(try byte()))
    }

    fileprivate mutating func contact() throws(SwarmError) -> Contact {
        let address = try peerAddress()
        let code = try byte()
        guard let role = MemberMetadata.Role(rawValue: code) else {
            throw damaged("role \(code) is not known")
        }
        return Contact(
            address: address,
            metadata: MemberMetadata(
                role: role, addresses: try texts(), dataPathAddress: try text(), version: try text()))
    }

    fileprivate mutating func claim() throws(SwarmError) -> Claim {
        let (subject, incarnation) = (try text(), try number())
        let content: Claim.Content
        switch try byte() {
        case 1: content = .alive(try contact())
        case 2:
            let accuser = try text()
            guard let silent = UInt32(exactly: try number()) else { throw damaged("a silence is too long") }
            content = .suspect(by: accuser, silentMilliseconds: silent)
        case 3: content = .dead(by: try text())
        case 4: content = .left
        case let other: throw damaged("claim \(other) is not known")
        }
        return Claim(subject: subject, incarnation: incarnation, content: content)
    }

    fileprivate mutating func member() throws(SwarmError) -> Member {
        let id = try text()
        let code = try byte()
        guard let status = MemberStatus(rawValue: code) else { throw damaged("status \(code) is not known") }
        let incarnation = try number()
        return Member(id: id, contact: try contact(), incarnation: incarnation, status: status)
    }
}
