import EngineHTTP
import NIOHTTP1
import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// Networks of this node alone, and what containers join and leave while they run.
extension EngineRoutes {
    func addLocalNetworks(_ router: inout Router) {
        router.on(.POST, "/networks/{id}/connect") { request in
            let body = try await request.decode(ConnectionBody.self)
            let info = try await findContainer(body.Container ?? "")
            let name = request.capture("id")
            if PredefinedNetwork.name(name).map({ $0 != "bridge" }) == true {
                throw SwarmError(
                    .invalidArgument,
                    "container cannot be connected to \(name) network: it is this node's own, or none at all")
            }
            let local = await localNetwork(name)
            var endpoint = try ContainerCreation.endpoint(local?.name ?? name, body.EndpointConfig)
            endpoint.networkID = local?.id ?? ""
            if local == nil, let overlay = await current().networks.sorted.first(where: { $0.id == name }) {
                endpoint.networkName = overlay.spec.name
            }
            try await node.connectContainer(info.id, endpoint)
            return Response(.ok)
        }
        router.on(.POST, "/networks/{id}/disconnect") { request in
            let body = try await request.decode(ConnectionBody.self)
            let info = try await findContainer(body.Container ?? "")
            let name = request.capture("id")
            let local = await localNetwork(name)
            try await node.disconnectContainer(
                info.id, network: local?.name ?? name, force: body.Force ?? false)
            return Response(.ok)
        }
    }

    /// By identifier, name or the beginning of its identifier.
    func localNetwork(_ argument: String) async -> LocalNetwork? {
        let all = await node.localNetworks()
        if let exact = all.first(where: { $0.id == argument || $0.name == argument }) { return exact }
        let matches = argument.isEmpty ? [] : all.filter { $0.id.hasPrefix(argument) }
        return matches.count == 1 ? matches.first : nil
    }

    /// Whether a container of this node is on it, running or not.
    func isUsedHere(_ network: LocalNetwork) async -> Bool {
        ((try? await node.runtime.containers()) ?? []).contains { info in
            info.request?.standalone?.endpoints.contains { $0.networkID == network.id } ?? false
        }
    }

    func localDocument(_ network: LocalNetwork) async -> JSONDocument {
        var containers = JSONMembers()
        for info in (try? await node.runtime.containers()) ?? []
        where info.state == .running || info.state == .paused {
            let endpoints = info.request?.standalone?.endpoints ?? []
            var address = endpoints.first { $0.networkID == network.id }?.address
            // Tasks that join no overlay are here, too.
            if let local = info.localAddress, network.name == "bridge" {
                address = IPv4Subnet(local, prefixLength: network.subnet.prefixLength)
            }
            guard let address else { continue }
            containers[info.id] = [
                "Name": .string(info.name), "EndpointID": .string(info.id),
                "MacAddress": .string(MACAddress(derivedFrom: address.address).description),
                "IPv4Address": .string(address.description), "IPv6Address": "",
            ]
        }
        return [
            "Name": .string(network.name), "Id": .string(network.id), "Created": .time(network.createdAt),
            "Scope": "local", "Driver": "bridge", "EnableIPv4": true, "EnableIPv6": false,
            "IPAM": [
                "Driver": "default", "Options": [:],
                "Config": [
                    [
                        "Subnet": .string(network.subnet.description),
                        "Gateway": .string(network.gateway.description),
                    ]
                ],
            ],
            "Internal": .bool(network.isInternal), "Attachable": .bool(network.isAttachable),
            "Ingress": false,
            "ConfigFrom": ["Network": ""], "ConfigOnly": false, "Containers": .object(containers),
            "Options": .labels(network.options), "Labels": .labels(network.labels),
        ]
    }

    func createLocal(_ body: NetworkBody) async throws -> Response {
        let name = body.Name ?? ""
        guard !name.isEmpty, !name.contains("/") else {
            throw SwarmError(.invalidArgument, "invalid network name: \"\(name)\"")
        }
        var generator = SystemRandomNumberGenerator()
        var subnet: IPv4Subnet?
        var gateway: IPv4Address?
        for range in body.IPAM?.Config ?? [] {
            guard let text = range.Subnet, !text.isEmpty else { continue }
            guard let parsed = IPv4Subnet(text) else {
                throw SwarmError(
                    .invalidArgument,
                    text.contains(":")
                        ? "\(text): networks of IPv6 are not supported; give a subnet of IPv4"
                        : "invalid CIDR address: \(text)")
            }
            guard subnet == nil else {
                throw SwarmError(.invalidArgument, "bridge driver doesn't support multiple subnets")
            }
            guard !Self.unusable.contains(where: { $0.contains(parsed.network) }), parsed.prefixLength <= 30
            else {
                throw SwarmError(
                    .invalidArgument,
                    "invalid subnet \(text): it leaves no addresses that containers can have")
            }
            subnet = parsed.canonical
            if let text = range.Gateway, !text.isEmpty {
                guard let address = IPv4Address(text), parsed.contains(address) else {
                    throw SwarmError(
                        .invalidArgument, "invalid network config: no matching subnet for gateway \(text)")
                }
                gateway = address
            }
        }
        let given = subnet ?? AgentFacts.defaultLocalSubnet
        var network = LocalNetwork(
            id: Identifier.randomHex(using: &generator), name: name, subnet: given,
            gateway: gateway ?? given.network.advanced(by: 1), createdAt: node.now())
        (network.isInternal, network.isAttachable) = (body.Internal ?? false, body.Attachable ?? false)
        (network.labels, network.options) = (body.Labels ?? [:], body.Options ?? [:])
        let id = try await node.createLocalNetwork(network, hasSubnet: subnet != nil)
        return try Self.json(["Id": .string(id), "Warning": ""] as JSONDocument, .created)
    }
}

/// The body of `POST /networks/{id}/connect` and `…/disconnect`.
private struct ConnectionBody: Decodable {
    var Container: String?
    var EndpointConfig: ContainerBody.Networking.Endpoint?
    var Force: Bool?
}
