import SwarmCore

/// The bytes of one netlink message after its header: a fixed structure, then attributes padded to four
/// bytes.
struct NetlinkPayload {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ value: some FixedWidthInteger) {
        bytes += unsafe withUnsafeBytes(of: value) { unsafe Array($0) }
    }

    private mutating func pad() { while bytes.count % 4 != 0 { bytes.append(0) } }

    mutating func put(_ type: Int, _ value: [UInt8]) {
        append(UInt16(value.count + 4))
        append(UInt16(type))
        bytes += value
        pad()
    }

    mutating func put(_ type: Int, _ value: some FixedWidthInteger) {
        put(type, unsafe withUnsafeBytes(of: value) { unsafe Array($0) })
    }

    mutating func put(_ type: Int, _ text: String) { put(type, Array(text.utf8) + [0]) }
    mutating func put(_ type: Int, _ address: IPv4Address) { put(type, address.bytes) }

    /// An attribute that holds attributes.
    mutating func nest(_ type: Int, _ content: (inout NetlinkPayload) -> Void) {
        let start = bytes.count
        append(UInt16(0))
        append(UInt16(type))
        content(&self)
        let length = UInt16(bytes.count - start)
        let header = unsafe withUnsafeBytes(of: length) { unsafe Array($0) }
        bytes.replaceSubrange(start..<start + 2, with: header)
    }

    /// `struct ifinfomsg`.
    static func link(family: UInt8 = 0, index: Int32 = 0, flags: UInt32 = 0, change: UInt32 = 0) -> NetlinkPayload {
        var payload = NetlinkPayload()
        payload.bytes = [family, 0]
        payload.append(UInt16(0))
        payload.append(index)
        payload.append(flags)
        payload.append(change)
        return payload
    }

    /// An empty `struct ifinfomsg` inside a message, for the peer of a pair.
    mutating func appendLinkHeader() { bytes += [UInt8](repeating: 0, count: 16) }

    /// `struct ifaddrmsg`.
    static func address(prefixLength: Int, index: Int32) -> NetlinkPayload {
        var payload = NetlinkPayload()
        payload.bytes = [2, UInt8(prefixLength), 0, 0]
        payload.append(index)
        return payload
    }

    /// `struct nfgenmsg`, for IPv4.
    static func netfilter() -> NetlinkPayload {
        var payload = NetlinkPayload()
        payload.bytes = [2, 0, 0, 0]
        return payload
    }

    /// `struct ndmsg`.
    static func neighbour(_ family: UInt8, _ index: Int32, _ state: Int32, _ flags: Int32) -> NetlinkPayload {
        var payload = NetlinkPayload()
        payload.bytes = [family, 0, 0, 0]
        payload.append(index)
        payload.append(UInt16(truncatingIfNeeded: state))
        payload.bytes += [UInt8(truncatingIfNeeded: flags), 0]
        return payload
    }

    /// `struct rtmsg`.
    static func route(_ destination: IPv4Subnet, table: UInt8, scope: UInt8, type: UInt8) -> NetlinkPayload {
        var payload = NetlinkPayload()
        payload.bytes = [2, UInt8(destination.prefixLength), 0, 0, table, routeProtocol, scope, type]
        payload.append(UInt32(0))
        return payload
    }

    /// `RTPROT_STATIC`.
    static let routeProtocol: UInt8 = 4
}
