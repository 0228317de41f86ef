import EngineHTTP
import NIOHTTP1
import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// `POST /networks/create`'s body.
struct NetworkBody: Decodable {
    struct Addressing: Decodable {
        struct Range: Decodable {
            var Subnet: String?
            var IPRange: String?
            var Gateway: String?
        }
        var Driver: String?
        var Config: [Range]?
    }
    var Name: String?
    var Driver: String?
    var Scope: String?
    var Internal: Bool?
    var Attachable: Bool?
    var Ingress: Bool?
    var IPAM: Addressing?
    var Options: [String: String]?
    var Labels: [String: String]?
    var EnableIPv6: Bool?
}

extension EngineRoutes {
    func addNetworks(_ router: inout Router) {
        router.on(.GET, "/networks") { try await listNetworks($0) }
        router.on(.GET, "/networks/{id}") { request in
            let argument = request.capture("id")
            if let network = await localNetwork(argument), request.value("scope") != "swarm" {
                return try Self.json(await localDocument(network))
            }
            if let local = PredefinedNetwork.name(argument) {
                return try Self.json(Self.local(local))
            }
            return try Self.json(Self.document(try await findNetwork(argument), tasks: await current()))
        }
        addLocalNetworks(&router)
        router.on(.POST, "/networks/create") { try await createNetwork($0) }
        router.on(.POST, "/networks/prune") { try await pruneNetworks($0) }
        router.on(.DELETE, "/networks/{id}") { request in
            let argument = request.capture("id")
            if let name = PredefinedNetwork.name(argument) {
                throw SwarmError(
                    .permissionDenied, "\(name) is a pre-defined network and cannot be removed")
            }
            if let network = await localNetwork(argument) {
                try await node.removeLocalNetwork(network.id)
                return Response(.noContent)
            }
            try await removeOnceLeft(try await findNetwork(argument))
            return Response(.noContent)
        }
    }

    /// How long a removal waits for tasks that are about to end; more than Docker's ten seconds of grace.
    private static let leavingSecondsMax = 30
    private static let leavingPollMilliseconds = 50

    /// Removes a network; waits when all that still uses it are tasks on their way out, as those of a stack are whose
    /// services were removed a moment ago. Docker removes it under them, and its number may go to another meanwhile.
    private func removeOnceLeft(_ network: Network) async throws {
        for _ in 0..<(Self.leavingSecondsMax * 1000 / Self.leavingPollMilliseconds) {
            do throws(SwarmError) {
                _ = try await node.submit(.removeNetwork(id: network.id))
                return
            } catch {
                guard error.code == .failedPrecondition, isBeingLeft(network, await current()) else { throw error }
            }
            try await Task.sleep(for: .milliseconds(Self.leavingPollMilliseconds))
        }
        _ = try await node.submit(.removeNetwork(id: network.id))
    }

    private func isBeingLeft(_ network: Network, _ store: ObjectStore) -> Bool {
        network.spec.ingress != true
            && !store.services.sorted.contains { $0.networkTargets.contains(network.id) }
            && store.tasks(onNetwork: network.id).allSatisfy {
                $0.status.state.isTerminal || $0.desiredState > .running
            }
    }

    /// Removes the swarm's networks that nothing uses, as `docker network prune` asks for.
    private func pruneNetworks(_ request: Request) async throws -> Response {
        let filters = try request.filters(["until", "label", "label!"])
        let store = await current()
        let until = filters["until"]?.first.flatMap(Self.time)
        var removed: [JSONDocument] = []
        for network in store.networks.sorted where network.spec.ingress != true {
            guard Lookup.matches(network.spec.labels, filters["label"] ?? []),
                !(filters["label!"] ?? []).contains(where: { Lookup.matches(network.spec.labels, [$0]) }),
                until.map({ network.createdAt < $0 }) ?? true
            else { continue }
            if try await remove(network) { removed.append(.string(network.spec.name)) }
        }
        for network in await node.localNetworks().dropFirst() {
            guard Lookup.matches(network.labels, filters["label"] ?? []),
                !(filters["label!"] ?? []).contains(where: { Lookup.matches(network.labels, [$0]) }),
                until.map({ network.createdAt < $0 }) ?? true
            else { continue }
            do throws(SwarmError) { try await node.removeLocalNetwork(network.id) } catch { continue }
            removed.append(.string(network.name))
        }
        return try Self.json(["NetworksDeleted": removed.isEmpty ? nil : .array(removed)] as JSONDocument)
    }

    /// False when the network is in use, or gone meanwhile.
    private func remove(_ network: Network) async throws(SwarmError) -> Bool {
        do throws(SwarmError) {
            _ = try await node.submit(.removeNetwork(id: network.id))
            return true
        } catch {
            guard error.code == .failedPrecondition || error.code == .notFound else { throw error }
            return false
        }
    }

    private func findNetwork(_ argument: String) async throws(SwarmError) -> Network {
        let store = await current()
        return try Lookup.find(argument, "network", in: store.networks.sorted) { $0.spec.name }
    }

    private func listNetworks(_ request: Request) async throws -> Response {
        let filters = try request.filters(["driver", "id", "label", "name", "scope", "type", "dangling"])
        let store = await current()
        let wantsSwarm = filters["scope"].map { $0.contains("swarm") } ?? true
        for type in filters["type"] ?? [] where !["builtin", "custom"].contains(type) {
            throw SwarmError(.invalidArgument, "invalid filter: 'type'='\(type)'")
        }
        let dangling = try filters["dangling"].map { texts throws(SwarmError) in
            guard let text = texts.first, texts.count == 1, Self.isGoBoolean(text) else {
                throw SwarmError(.invalidArgument, "invalid filter 'dangling=\(texts)'")
            }
            return ["1", "t", "true"].contains(text.lowercased())
        }
        // The networks that every engine has are nobody's to remove: they count as used.
        let wantsBuiltin = filters["type"]?.contains("builtin") != false && dangling == nil
        let wantsCustom = filters["type"]?.contains("custom") != false
        let wantsLocal = filters["scope"].map { $0.contains("local") } ?? true
        var answer: [JSONDocument] = []
        for network in store.networks.sorted where wantsSwarm && wantsCustom {
            if let dangling, dangling == isUsed(network, store) { continue }
            let driver = network.spec.driverConfiguration?.name ?? "overlay"
            guard (filters["driver"] ?? [driver]).contains(driver),
                filters["name"].map({ $0.contains { network.spec.name.contains($0) } }) ?? true,
                Lookup.hasPrefix(network.id, filters["id"] ?? []),
                Lookup.matches(network.spec.labels, filters["label"] ?? [])
            else { continue }
            answer.append(Self.document(network, tasks: store))
        }
        for network in await node.localNetworks()
        where wantsLocal && (network.name == "bridge" ? wantsBuiltin : wantsCustom) {
            if let dangling, dangling == (await isUsedHere(network)) { continue }
            guard filters["driver"].map({ $0.contains("bridge") }) ?? true,
                filters["name"].map({ $0.contains { network.name.contains($0) } }) ?? true,
                Lookup.hasPrefix(network.id, filters["id"] ?? []),
                Lookup.matches(network.labels, filters["label"] ?? [])
            else { continue }
            answer.append(await localDocument(network))
        }
        for name in PredefinedNetwork.names.dropFirst()
        where wantsLocal && wantsBuiltin && filters["label"] == nil && filters["id"] == nil {
            guard filters["name"].map({ $0.contains { name.contains($0) } }) ?? true,
                filters["driver"].map({ $0.contains(name == "none" ? "null" : name) }) ?? true
            else { continue }
            answer.append(Self.local(name))
        }
        return try Self.json(answer)
    }

    /// Whether tasks of this node or of others have addresses on it, or services ask for it.
    private func isUsed(_ network: Network, _ store: ObjectStore) -> Bool {
        !store.tasks(onNetwork: network.id).allSatisfy(\.status.state.isTerminal)
            || store.services.sorted.contains { $0.networkTargets.contains(network.id) }
    }

    private static func local(_ name: String) -> JSONDocument {
        [
            "Name": .string(name), "Id": .string(PredefinedNetwork.identifier(of: name)),
            "Created": .time(nil),
            "Scope": "local",
            "Driver": .string(name == "none" ? "null" : name), "EnableIPv4": true, "EnableIPv6": false,
            "IPAM": ["Driver": "default", "Options": nil, "Config": []], "Internal": false,
            "Attachable": false,
            "Ingress": false, "ConfigFrom": ["Network": ""], "ConfigOnly": false, "Containers": [:],
            "Options": [:],
            "Labels": [:],
        ]
    }

    private static func document(_ network: Network, tasks store: ObjectStore) -> JSONDocument {
        let spec = network.spec
        let ranges = (network.ipam?.configs ?? spec.ipamOptions?.configs ?? []).map {
            config -> JSONDocument in
            var members: JSONMembers = ["Subnet": .string(config.subnet ?? "")]
            if let range = config.range { members["IPRange"] = .string(range) }
            if let gateway = config.gateway { members["Gateway"] = .string(gateway) }
            return .object(members)
        }
        var containers: JSONMembers = JSONMembers()
        for task in store.tasks(onNetwork: network.id) where task.status.state == .running {
            guard let id = task.status.containerStatus?.containerID,
                let address = task.networksAttachments?.first(where: { $0.network.id == network.id })?
                    .addresses?.first
            else { continue }
            containers[id] = [
                "Name": .string(task.containerName), "EndpointID": .string(id),
                "MacAddress": .string(MACAddress(derivedFrom: address.address).description),
                "IPv4Address": .string(address.description), "IPv6Address": "",
            ]
        }
        let options = (spec.driverConfiguration?.options ?? [:]).merging(network.driverState?.options ?? [:])
        { $1 }
        return [
            "Name": .string(spec.name), "Id": .string(network.id), "Created": .time(network.createdAt),
            "Scope": "swarm", "Driver": .string(spec.driverConfiguration?.name ?? "overlay"),
            "EnableIPv4": true, "EnableIPv6": .bool(spec.ipv6Enabled ?? false),
            "IPAM": ["Driver": "default", "Options": nil, "Config": .array(ranges)],
            "Internal": .bool(spec.isInternal ?? false), "Attachable": .bool(spec.attachable ?? false),
            "Ingress": .bool(spec.ingress ?? false), "ConfigFrom": ["Network": ""], "ConfigOnly": false,
            "Containers": .object(containers), "Options": .labels(options), "Labels": .labels(spec.labels),
        ]
    }

    /// Loopback, multicast and what lies beyond: no packet from there or to there is forwarded.
    static let unusable = ["127.0.0.0/8", "224.0.0.0/3"].compactMap { IPv4Subnet($0) }

    private func createNetwork(_ request: Request) async throws -> Response {
        let body = try await request.decode(NetworkBody.self)
        let name = body.Name ?? ""
        let driver = body.Driver.flatMap { $0.isEmpty ? nil : $0 } ?? "bridge"
        if driver == "host" || driver == "null" {
            throw SwarmError(.permissionDenied, "only one instance of \"\(driver)\" network is allowed")
        }
        guard driver == "overlay" || driver == "bridge" else {
            throw SwarmError(.notFound, "plugin \"\(driver)\" not found")
        }
        guard !PredefinedNetwork.names.contains(name) else {
            throw SwarmError(.conflict, "network with name \(name) already exists")
        }
        if driver == "bridge" {
            guard body.Scope != "swarm" else {
                throw SwarmError(
                    .invalidArgument,
                    "networks of the swarm are overlays: leave --scope out, or use --driver overlay")
            }
            return try await createLocal(body)
        }
        _ = try await managed()
        if let manager = body.IPAM?.Driver, !["", "default"].contains(manager) {
            throw SwarmError(
                .invalidArgument,
                "rpc error: code = InvalidArgument desc = error during lookup of plugin \(manager)")
        }
        var spec = NetworkSpec(name: name)
        spec.labels = body.Labels ?? [:]
        spec.driverConfiguration = Driver(name: driver, options: body.Options?.isEmpty == false ? body.Options : nil)
        func set(_ flag: Bool?) -> Bool? { flag == true ? true : nil }
        (spec.ipv6Enabled, spec.isInternal) = (set(body.EnableIPv6), set(body.Internal))
        (spec.attachable, spec.ingress) = (set(body.Attachable), set(body.Ingress))
        let ranges = (body.IPAM?.Config ?? []).map {
            IPAMConfig(subnet: $0.Subnet, range: $0.IPRange, gateway: $0.Gateway)
        }
        for range in ranges {
            for text in [range.subnet, range.range].compactMap({ $0 })
            where !text.isEmpty {
                guard let subnet = IPv4Subnet(text) else {
                    throw SwarmError(
                        .invalidArgument,
                        text.contains(":")
                            ? "\(text): networks of IPv6 are not supported; give a subnet of IPv4"
                            : "Invalid subnet \(text) : invalid CIDR address: \(text)")
                }
                guard !Self.unusable.contains(where: { $0.contains(subnet.network) }) else {
                    throw SwarmError(
                        .invalidArgument,
                        "invalid subnet \(text): the kernel routes no such addresses to containers")
                }
            }
        }
        spec.ipamOptions = IPAM(driver: Driver(name: "default"), configs: ranges.isEmpty ? nil : ranges)
        spec.scope = "swarm"
        guard case .created(let id, _) = try await node.submit(.createNetwork(spec)) else {
            return Response(.internalServerError)
        }
        return try Self.json(["Id": .string(id), "Warning": ""] as JSONDocument, .created)
    }

    // MARK: Secrets and configs

    func addFiles(_ router: inout Router) {
        router.on(.GET, "/secrets") { request in
            let filters = try request.filters(["id", "name", "names", "label"])
            let secrets = try await managed().secrets.sorted.filter {
                Self.matches($0.id, $0.spec.name, $0.spec.labels, filters)
            }
            return try Self.json(secrets.map(Self.withoutData))
        }
        router.on(.GET, "/secrets/{id}") { request in
            let secrets = try await managed().secrets.sorted
            return try Self.json(
                Self.withoutData(
                    try Lookup.find(request.capture("id"), "secret", in: secrets) { $0.spec.name }))
        }
        router.on(.POST, "/secrets/create") { request in
            return try await created(.createSecret(try await request.decode(SecretSpec.self)))
        }
        router.on(.POST, "/secrets/{id}/update") { request in
            let secrets = try await managed().secrets.sorted
            let found = try Lookup.find(request.capture("id"), "secret", in: secrets) { $0.spec.name }
            let version = try request.requiredVersion("secret")
            _ = try await node.submit(
                .updateSecret(id: found.id, version: version, try await request.decode(SecretSpec.self)))
            return Response(.ok)
        }
        router.on(.DELETE, "/secrets/{id}") { request in
            let secrets = try await managed().secrets.sorted
            let found = try Lookup.find(request.capture("id"), "secret", in: secrets) { $0.spec.name }
            _ = try await node.submit(.removeSecret(id: found.id))
            return Response(.noContent)
        }
        router.on(.POST, "/secrets/{id}/matches") { request in
            let secrets = try await managed().secrets.sorted
            let found = try Lookup.find(request.capture("id"), "secret", in: secrets) { $0.spec.name }
            let asked = try await request.decode(SecretSpec.self)
            return try Self.json(["Matches": .bool(found.spec.data == asked.data)] as JSONDocument)
        }
        addConfigs(&router)
    }

    private func addConfigs(_ router: inout Router) {
        router.on(.GET, "/configs") { request in
            let filters = try request.filters(["id", "name", "names", "label"])
            // What `stack history` lists would drown what users made; a stack's own list has all, so that nothing stays
            // behind when the stock client removes the stack.
            let asksForAll = (filters["label"] ?? []).contains {
                $0.hasPrefix(StackLabel.revision) || $0.hasPrefix(StackLabel.namespace + "=")
            }
            return try Self.json(
                try await managed().configs.sorted.filter {
                    Self.matches($0.id, $0.spec.name, $0.spec.labels, filters)
                        && (asksForAll || $0.spec.labels?[StackLabel.revision] == nil)
                })
        }
        router.on(.GET, "/configs/{id}") { request in
            let configs = try await managed().configs.sorted
            return try Self.json(
                try Lookup.find(request.capture("id"), "config", in: configs) { $0.spec.name })
        }
        router.on(.POST, "/configs/create") { request in
            return try await created(.createConfig(try await request.decode(ConfigSpec.self)))
        }
        router.on(.POST, "/configs/{id}/update") { request in
            let configs = try await managed().configs.sorted
            let found = try Lookup.find(request.capture("id"), "config", in: configs) { $0.spec.name }
            let version = try request.requiredVersion("config")
            _ = try await node.submit(
                .updateConfig(id: found.id, version: version, try await request.decode(ConfigSpec.self)))
            return Response(.ok)
        }
        router.on(.DELETE, "/configs/{id}") { request in
            let configs = try await managed().configs.sorted
            let found = try Lookup.find(request.capture("id"), "config", in: configs) { $0.spec.name }
            _ = try await node.submit(.removeConfig(id: found.id))
            return Response(.noContent)
        }
    }

    private func created(_ request: ControlRequest) async throws -> Response {
        guard case .created(let id, _) = try await node.submit(request) else {
            return Response(.internalServerError)
        }
        return try Self.json(["ID": .string(id)] as JSONDocument, .created)
    }

    private static func withoutData(_ secret: Secret) -> Secret {
        var secret = secret
        secret.spec.data = nil
        return secret
    }

    private static func matches(
        _ id: String, _ name: String, _ labels: [String: String]?, _ filters: [String: [String]]
    ) -> Bool {
        Lookup.hasPrefix(id, filters["id"] ?? []) && Lookup.hasPrefix(name, filters["name"] ?? [])
            && (filters["names"] ?? [name]).contains(name) && Lookup.matches(labels, filters["label"] ?? [])
    }
}
