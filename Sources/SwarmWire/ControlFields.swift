import SwarmCore
import SwarmModel
import SwarmNode

// Requests of clients on their way to the leader.

extension WireWriter {
    mutating func controlRequest(_ request: ControlRequest) throws(SwarmError) {
        switch request {
        case .initializeSwarm(let initialization):
            byte(1)
            try swarmInitialization(initialization)
        case .leaveSwarm(let force):
            byte(2)
            flag(force)
        case .updateSwarm(let version, let spec, let rotation):
            byte(3)
            number(version)
            flag(rotation.workerToken)
            flag(rotation.managerToken)
            flag(rotation.unlockKey)
            text(rotation.freshUnlockKey)
            try object(spec)
            // Earlier versions know nothing of it.
            if let root = rotation.root { try object(root) }
        case .createService(let spec, let registryAuth):
            byte(4)
            try optional(registryAuth) { writer, text throws(SwarmError) in writer.text(text) }
            try object(spec)
        case .updateService(let id, let version, let spec, let options):
            try update(5, id, version, spec)
            try optional(options.registryAuth) { writer, text throws(SwarmError) in writer.text(text) }
            try optional(options.registryAuthFrom) { writer, text throws(SwarmError) in writer.text(text) }
            flag(options.rollback)
        case .removeService(let id): remove(6, id)
        case .createNetwork(let spec): try create(7, spec)
        case .removeNetwork(let id): remove(8, id)
        case .createSecret(let spec): try create(9, spec)
        case .updateSecret(let id, let version, let spec): try update(10, id, version, spec)
        case .removeSecret(let id): remove(11, id)
        case .createConfig(let spec): try create(12, spec)
        case .updateConfig(let id, let version, let spec): try update(13, id, version, spec)
        case .removeConfig(let id): remove(14, id)
        case .updateNode(let id, let version, let spec): try update(15, id, version, spec)
        case .removeNode(let id, let force):
            remove(16, id)
            flag(force)
        case .joinSwarm(let join):
            byte(17)
            text(join.nodeID)
            text(join.role)
            text(join.availability)
            text(join.address)
            try object(join.description)
        case .attachment(let nodeID, let request):
            byte(18)
            text(nodeID)
            attachmentRequest(request)
        }
    }

    mutating func attachmentRequest(_ request: AttachmentRequest) {
        switch request {
        case .attach(let containerID, let wish):
            byte(1)
            text(containerID)
            text(wish.network)
            text(wish.containerName)
            texts(wish.aliases)
            text(wish.address?.description ?? "")
        case .detach(let attachment):
            byte(2)
            text(attachment)
        }
    }

    private mutating func create(_ tag: UInt8, _ spec: some Encodable) throws(SwarmError) {
        byte(tag)
        try object(spec)
    }

    private mutating func update(
        _ tag: UInt8, _ id: ObjectID, _ version: UInt64, _ spec: some Encodable
    ) throws(SwarmError) {
        byte(tag)
        text(id)
        number(version)
        try object(spec)
    }

    private mutating func remove(_ tag: UInt8, _ id: ObjectID) {
        byte(tag)
        text(id)
    }

    private mutating func swarmInitialization(_ value: SwarmInitialization) throws(SwarmError) {
        text(value.listenAddress)
        text(value.advertiseAddress)
        text(value.dataPathAddress)
        number(UInt64(value.dataPathPort))
        flag(value.forceNewCluster)
        text(value.availability)
        texts(value.defaultAddressPool)
        number(UInt64(value.subnetSize))
        try object(value.spec)
    }
}

extension WireReader {
    mutating func controlRequest() throws(SwarmError) -> ControlRequest {
        switch try byte() {
        case 1: return .initializeSwarm(try swarmInitialization())
        case 2: return .leaveSwarm(force: try flag())
        case 3:
            let version = try number()
            var rotation = SwarmRotation(
                workerToken: try flag(), managerToken: try flag(), unlockKey: try flag(),
                freshUnlockKey: try text())
            let spec = try object(ClusterSpec.self)
            if remaining > 0 { rotation.root = try object(RootChange.self) }
            return .updateSwarm(version: version, spec, rotation)
        case 4:
            let registryAuth = try optionalText()
            return .createService(try object(ServiceSpec.self), registryAuth: registryAuth)
        case 5:
            let (id, version, spec) = (try text(), try number(), try object(ServiceSpec.self))
            var options = ServiceUpdateOptions()
            options.registryAuth = try optionalText()
            options.registryAuthFrom = try optionalText()
            options.rollback = try flag()
            return .updateService(id: id, version: version, spec, options)
        case 6: return .removeService(id: try text())
        case 7: return .createNetwork(try object(NetworkSpec.self))
        case 8: return .removeNetwork(id: try text())
        case 9: return .createSecret(try object(SecretSpec.self))
        case 10: return .updateSecret(id: try text(), version: try number(), try object(SecretSpec.self))
        case 11: return .removeSecret(id: try text())
        case 12: return .createConfig(try object(ConfigSpec.self))
        case 13: return .updateConfig(id: try text(), version: try number(), try object(ConfigSpec.self))
        case 14: return .removeConfig(id: try text())
        case 15: return .updateNode(id: try text(), version: try number(), try object(NodeSpec.self))
        case 16: return .removeNode(id: try text(), force: try flag())
        case 17:
            let (nodeID, role, availability, address) = (try text(), try text(), try text(), try text())
            return .joinSwarm(
                NodeJoin(
                    nodeID: nodeID, role: role, availability: availability,
                    description: try object(NodeDescription.self), address: address))
        case 18: return .attachment(nodeID: try text(), try attachmentRequest())
        case let other: throw damaged("request \(other) is not known")
        }
    }

    mutating func attachmentRequest() throws(SwarmError) -> AttachmentRequest {
        switch try byte() {
        case 1:
            let (containerID, network, name) = (try text(), try text(), try text())
            let (aliases, address) = (try texts(), try text())
            return .attach(
                containerID: containerID,
                AttachmentWish(
                    network: network, containerName: name, aliases: aliases, address: IPv4Address(address)))
        case 2: return .detach(attachment: try text())
        case let other: throw damaged("request \(other) for an attachment is not known")
        }
    }

    private mutating func optionalText() throws(SwarmError) -> String? {
        try optional { reader throws(SwarmError) in try reader.text() }
    }

    private mutating func swarmInitialization() throws(SwarmError) -> SwarmInitialization {
        var value = SwarmInitialization(listenAddress: try text(), advertiseAddress: try text())
        value.dataPathAddress = try text()
        value.dataPathPort = try small()
        value.forceNewCluster = try flag()
        value.availability = try text()
        value.defaultAddressPool = try texts()
        value.subnetSize = try small()
        value.spec = try object(ClusterSpec.self)
        return value
    }

    private mutating func small() throws(SwarmError) -> UInt32 {
        guard let value = UInt32(exactly: try number()) else { throw damaged("a number is too large") }
        return value
    }
}
