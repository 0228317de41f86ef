import Glibc
import Overlay
import SwarmCore

extension KernelNetwork {
    /// Reads what the kernel holds. Rules are not read back: `nil` makes the next plan load them anew, in
    /// one transaction.
    func observe() throws(SwarmError) {
        guard let host else { throw SwarmError(.failedPrecondition, "the network adapter is not started") }
        var found = ObservedNetworking()
        found.reservedPorts = Set(reservations.keys)
        let hostLinks = try host.netlink.links()
        let hostAddresses = try host.netlink.addresses()
        let hostRoutes = try host.netlink.routes()
        found.linkMTUs = Self.linkMTUs(hostLinks, hostAddresses)
        for id in entries("\(configuration.runDirectory)/networks") {
            let path = networkPath(id)
            guard isNetworkNamespace(path) else {
                removeNetworkNamespace(path)
                networkHandles[id] = nil
                continue
            }
            let handles: NamespaceHandles
            if let known = networkHandles[id] { handles = known } else { handles = try openHandles(path) }
            networkHandles[id] = handles
            var network = try observeNetwork(handles)
            network.door = observeDoor(id, network.door, hostLinks, hostAddresses, hostRoutes)
            let door = network.door.flatMap { door in hostLinks.first { $0.name == door.name } }
            if let door, door.mtu != network.mtu { network.mtu = 0 }
            found.networks[id] = network
        }
        for id in entries("\(configuration.runDirectory)/netns") {
            let path = namespacePath(of: id)
            guard isNetworkNamespace(path) else {
                removeNetworkNamespace(path)
                continue
            }
            found.sandboxes[id] = try observeSandbox(path)
        }
        for link in hostLinks where isDoor(link.name) {
            nextDoor = max(nextDoor, (Int(link.name.drop { !$0.isNumber }) ?? 0) + 1)
        }
        observed = found
    }

    private static func linkMTUs(
        _ links: [NetlinkSocket.Link], _ addresses: [NetlinkSocket.Address]
    ) -> [IPv4Address: Int] {
        let mtus = Dictionary(links.map { ($0.index, $0.mtu) }, uniquingKeysWith: { first, _ in first })
        return Dictionary(
            addresses.compactMap { address in mtus[address.index].map { (address.subnet.address, $0) } },
            uniquingKeysWith: { first, _ in first })
    }

    func openHandles(_ path: String) throws(SwarmError) -> NamespaceHandles {
        try openInNetworkNamespace(path) { () throws(SwarmError) in
            try NamespaceHandles(netlink: NetlinkSocket(), nftables: NFTablesContext())
        }
    }

    /// Looks at the inside of a network's namespace; the door that it finds is only the inner half.
    private func observeNetwork(_ handles: NamespaceHandles) throws(SwarmError) -> ObservedNetwork {
        var network = ObservedNetwork()
        let links = try handles.netlink.links()
        let routes = try handles.netlink.routes()
        guard let bridge = links.first(where: { $0.name == Names.bridge }) else { return network }
        network.mac = bridge.mac
        network.mtu = links.allSatisfy { !$0.isOurs(bridge) || $0.mtu == bridge.mtu } ? bridge.mtu : 0
        if let link = links.first(where: { $0.name == Names.tunnel }), let tunnel = link.tunnel {
            network.tunnel = ObservedTunnel(
                vni: tunnel.vni, port: tunnel.port, address: tunnel.address,
                isBridged: link.master == bridge.index && link.isUp)
            network.forwarding = try handles.netlink.forwarding(link.index)
        }
        network.gateway = try handles.netlink.addresses().first { $0.index == bridge.index }?.subnet
        network.virtualIPs = Set(
            routes.filter {
                $0.type == UInt8(RouteType.local) && $0.table == 255 && $0.index == bridge.index
                    && $0.destination.prefixLength == 32 && $0.destination.address != network.gateway?.address
            }.map(\.destination.address))
        for link in links where link.master == bridge.index {
            nextPort = max(nextPort, (Int(link.name.drop { !$0.isNumber }) ?? 0) + 1)
            if let port = link.alias.flatMap(PortID.init) { network.ports.insert(port) }
        }
        let hasWayOut = routes.contains { $0.destination.prefixLength == 0 && $0.table == 254 }
        if hasWayOut { network.door = ObservedDoor(name: "", nodeAddress: nil, isRouted: true) }
        return network
    }

    private func observeDoor(
        _ id: String, _ inner: ObservedDoor?, _ links: [NetlinkSocket.Link],
        _ addresses: [NetlinkSocket.Address],
        _ routes: [NetlinkSocket.Route]
    ) -> ObservedDoor? {
        guard let link = links.first(where: { isDoor($0.name) && $0.alias == id }) else { return nil }
        let isIngress = link.name.dropFirst(configuration.namePrefix.count).hasPrefix("i")
        let address = addresses.first { $0.index == link.index }?.subnet.address
        let isRouted = routes.contains {
            $0.index == link.index && $0.table == 254 && $0.destination.prefixLength < 31
        }
        return ObservedDoor(
            name: link.name, nodeAddress: isIngress ? address : nil, mac: link.mac, isRouted: isRouted && inner != nil)
    }

    private func observeSandbox(_ path: String) throws(SwarmError) -> ObservedSandbox {
        let socket = try openInNetworkNamespace(path) { () throws(SwarmError) in try NetlinkSocket() }
        var sandbox = ObservedSandbox()
        let addresses = try socket.addresses()
        for link in try socket.links() {
            guard link.name.hasPrefix("eth"), let index = Int(link.name.dropFirst(3)), let mac = link.mac,
                let subnet = addresses.first(where: { $0.index == link.index })?.subnet
            else { continue }
            sandbox.interfaces[index] = ObservedInterface(
                address: subnet.address, prefixLength: subnet.prefixLength, mac: mac)
            sandbox.mtus[index] = link.mtu
        }
        sandbox.defaultGateway = try socket.routes().first {
            $0.destination.prefixLength == 0 && $0.table == 254
        }?.gateway
        return sandbox
    }

    // MARK: - Files

    /// The names in a directory, sorted; none when it cannot be read.
    nonisolated func entries(_ directory: String) -> [String] {
        guard let handle = unsafe opendir(directory) else { return [] }
        defer { unsafe closedir(handle) }
        var names: [String] = []
        while let entry = unsafe readdir(handle) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    nonisolated func makeDirectory(_ path: String) throws(SwarmError) {
        guard unsafe mkdir(path, 0o711) == 0 || errno == EEXIST else {
            throw systemError("create directory \(path)")
        }
    }

    /// Only when it is empty: others may keep files in the run directory.
    nonisolated func removeDirectory(_ path: String) { _ = unsafe rmdir(path) }
}

extension NetlinkSocket.Link {
    /// Some kernels put links of their own into every namespace.
    func isOurs(_ bridge: Self?) -> Bool {
        name == Names.bridge || name == Names.uplink || bridge.map { master == $0.index } ?? false
    }
}

enum Names {
    static let bridge = "br0"
    static let uplink = "up0"
    static let tunnel = "vx0"
}

enum RouteType {
    static let unicast: UInt8 = 1
    static let local: UInt8 = 2
}
