import CNetlink
import Glibc
import Logging
import Overlay
import SwarmCore

/// Which UDP flows must choose again. TCP ends by itself; a datagram socket that keeps sending would stay with a task
/// that is gone, or with nobody, for ever.
enum StaleFlows: Sendable {
    /// Those that lead to this task.
    case to(IPv4Address)
    /// Those that were sent to this virtual address while nobody was behind it.
    case unanswered(IPv4Address)
    /// Those that were sent to this published port while nobody was behind it.
    case unansweredPort(UInt16)
}

extension KernelNetwork {
    /// Makes UDP flows of one network choose again: those of tasks that left, and those that found nobody.
    func forget(_ networkID: String, _ departed: [IPv4Address], _ awakened: [IPv4Address]) {
        forget(departed.map { .to($0) } + awakened.map { .unanswered($0) }, in: networkPath(networkID))
    }

    /// As for a network, for the node's published ports.
    func forgetPublished(_ old: HostRuleset, _ new: HostRuleset) {
        let backends = Set(new.udpBackends)
        let departed = Set(old.udpBackends).subtracting(backends).sorted()
        let idle = Set(old.ports.filter { $0.transport == .udp && $0.backends.isEmpty }.map(\.key))
        let awakened = new.ports.filter { idle.contains($0.key) && !$0.backends.isEmpty }.map(\.publishedPort)
        forget(
            departed.map { .to($0) } + awakened.map { .unansweredPort($0) }, in: configuration.hostNamespace)
    }

    /// Rules are right already when this runs, so a failure costs old flows only: it is logged.
    private func forget(_ flows: [StaleFlows], in namespace: String?) {
        guard !flows.isEmpty else { return }
        do throws(SwarmError) {
            let socket = try openInNetworkNamespace(namespace) { () throws(SwarmError) in
                try NetlinkSocket(NETLINK_NETFILTER)
            }
            for flow in flows { try socket.forget(flow) }
        } catch {
            logger.warning("old flows are still remembered", metadata: ["error": "\(error)"])
        }
    }
}

extension HostRuleset {
    fileprivate var udpBackends: [IPv4Address] { ports.filter { $0.transport == .udp }.flatMap(\.backends) }
}

extension NetlinkSocket {
    /// Which parts of a tuple a deletion compares (kernel: `CTA_FILTER_F_…`, not in its public headers).
    private enum Compared {
        static let source: UInt32 = 1 << 0
        static let destination: UInt32 = 1 << 1
        static let transport: UInt32 = 1 << 3
        static let destinationPort: UInt32 = 1 << 5
    }

    /// conntrack -D --proto udp …
    func forget(_ flow: StaleFlows) throws(SwarmError) {
        var payload = NetlinkPayload.netfilter()
        switch flow {
        case .to(let task):
            payload.putTuple(Int(CTA_TUPLE_REPLY.rawValue), address: (Int(CTA_IP_V4_SRC.rawValue), task))
            payload.putFilter(original: 0, reply: Compared.source | Compared.transport)
        case .unanswered(let address):
            payload.putTuple(Int(CTA_TUPLE_ORIG.rawValue), address: (Int(CTA_IP_V4_DST.rawValue), address))
            payload.putFilter(original: Compared.destination | Compared.transport, reply: 0)
        case .unansweredPort(let port):
            payload.putTuple(Int(CTA_TUPLE_ORIG.rawValue), port: port)
            payload.putFilter(original: Compared.destinationPort | Compared.transport, reply: 0)
        }
        let type = Int(NFNL_SUBSYS_CTNETLINK) << 8 | Int(IPCTNL_MSG_CT_DELETE.rawValue)
        try request(type, payload, "forget UDP flows", ignoring: [NLE_OBJ_NOTFOUND])
    }
}

extension NetlinkPayload {
    /// `NLA_F_NESTED`: unlike older parts of netlink, filters insist on it.
    private static let nested = 1 << 15

    fileprivate mutating func putTuple(_ direction: Int, address: (Int, IPv4Address)? = nil, port: UInt16? = nil) {
        nest(direction | Self.nested) { tuple in
            if let address {
                tuple.nest(Int(CTA_TUPLE_IP.rawValue) | Self.nested) { $0.put(address.0, address.1) }
            }
            tuple.nest(Int(CTA_TUPLE_PROTO.rawValue) | Self.nested) { transport in
                transport.put(Int(CTA_PROTO_NUM.rawValue), UInt8(IPPROTO_UDP))
                if let port { transport.put(Int(CTA_PROTO_DST_PORT.rawValue), port.bigEndian) }
            }
        }
    }

    fileprivate mutating func putFilter(original: UInt32, reply: UInt32) {
        nest(Int(CTA_FILTER.rawValue) | Self.nested) { filter in
            filter.put(Int(CTA_FILTER_ORIG_FLAGS.rawValue), original)
            filter.put(Int(CTA_FILTER_REPLY_FLAGS.rawValue), reply)
        }
    }
}
