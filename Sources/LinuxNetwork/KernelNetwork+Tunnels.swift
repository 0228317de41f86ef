import Glibc
import Logging
import Overlay
import SwarmCore

/// What reaches across nodes.
extension KernelNetwork {
    /// An identifier in use is waited for so often, and so long each time, once: a dying namespace gives it back within
    /// 100 ms, somebody else's device never does.
    private static let tunnelAttempts = 5
    private static let tunnelWaitMicroseconds: UInt32 = 50_000

    /// The device is made in the node's namespace and put into the network's, so that its datagrams use the node's
    /// addresses and routes.
    func openTunnel(_ network: DesiredNetwork, _ tunnel: DesiredTunnel) throws(SwarmError) {
        guard let vni = network.vni else {
            throw SwarmError(.failedPrecondition, "network \(network.name) has no VXLAN identifier yet")
        }
        let (host, sandbox) = (try startedHost().netlink, try handles(network.id).netlink)
        try createTunnel(host, vni, tunnel, network)
        do throws(SwarmError) {
            let index = try sandbox.index(of: Names.tunnel)
            try sandbox.setMaster(index, try sandbox.index(of: Names.bridge))
            try sandbox.stopLearning(index, "learn nothing from the tunnel of network \(network.name)")
            try sandbox.setUp(index, "raise the tunnel of network \(network.name)")
        } catch {
            try? sandbox.deleteLink(Names.tunnel)
            throw error
        }
        observed.networks[network.id]?.tunnel = ObservedTunnel(
            vni: vni, port: tunnel.port, address: tunnel.address, isBridged: true)
        observed.networks[network.id]?.forwarding = ForwardingTable()
    }

    private func createTunnel(
        _ host: NetlinkSocket, _ vni: UInt32, _ tunnel: DesiredTunnel, _ network: DesiredNetwork
    ) throws(SwarmError) {
        for attempt in 1...Self.tunnelAttempts {
            do throws(SwarmError) {
                try host.createTunnel(
                    Names.tunnel, vni: vni, tunnel, mtu: network.mtu, namespace: networkPath(network.id))
                contested.remove(vni)
                return
            } catch {
                let mayWait = attempt < Self.tunnelAttempts && !contested.contains(vni)
                guard error.code == .conflict, mayWait else {
                    if error.code == .conflict { contested.insert(vni) }
                    throw error
                }
                _ = usleep(Self.tunnelWaitMicroseconds)
            }
        }
    }

    func closeTunnel(_ id: String) throws(SwarmError) {
        try handles(id).netlink.deleteLink(Names.tunnel)
        observed.networks[id]?.tunnel = nil
        observed.networks[id]?.forwarding = ForwardingTable()
    }

    /// One bad entry keeps none of the others away.
    func setForwarding(_ id: String, _ changes: [ForwardingChange]) throws(SwarmError) {
        let socket = try handles(id).netlink
        let index = try socket.index(of: Names.tunnel)
        var failure: SwarmError?
        for change in changes {
            do throws(SwarmError) {
                try socket.change(change, index)
                observed.networks[id]?.forwarding.apply(change)
            } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    /// Containers' ends first: what they send must fit what comes after.
    func setMTU(_ network: DesiredNetwork) throws(SwarmError) {
        let ports = observed.networks[network.id]?.ports ?? []
        for port in ports.sorted() where observed.sandboxes[port.sandboxID] != nil {
            let path = namespacePath(of: port.sandboxID)
            let socket = try openInNetworkNamespace(path) { () throws(SwarmError) in try NetlinkSocket() }
            try socket.setMTU(try socket.index(of: "eth\(port.index)"), network.mtu)
            observed.sandboxes[port.sandboxID]?.mtus[port.index] = network.mtu
        }
        let socket = try handles(network.id).netlink
        let links = try socket.links()
        let bridge = links.first { $0.name == Names.bridge }
        for link in links where link.isOurs(bridge) && link.mtu != network.mtu {
            try socket.setMTU(link.index, network.mtu)
        }
        if let door = observed.networks[network.id]?.door {
            let host = try startedHost().netlink
            try host.setMTU(try host.index(of: door.name), network.mtu)
        }
        observed.networks[network.id]?.mtu = network.mtu
    }
}
