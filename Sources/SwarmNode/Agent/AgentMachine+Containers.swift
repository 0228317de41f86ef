import Dispatching
import Ports
import SwarmCore
import SwarmModel

/// From a task to what the runtime must create.
extension AgentMachine {
    /// - Throws: why the task's templates cannot be expanded.
    func containerRequest(_ task: SwarmTask, _ containerID: String) throws(SwarmError) -> ContainerRequest {
        let template = TaskTemplate(task, hostname: facts.hostname)
        let spec = try template.expand(task.spec.containerSpec ?? ContainerSpec())
        let mode: ContainerRequest.NetworkMode
        switch networkMode(task) {
        case "host": mode = .host
        case "none": mode = .none
        default: mode = .namespace(path: facts.namespaceDirectory + "/" + containerID)
        }
        var request = ContainerRequest(
            id: containerID, name: task.containerName, image: spec.image ?? "", spec: spec,
            limits: task.spec.resources?.limits, reservations: task.spec.resources?.reservations,
            labels: labels(of: task, containerID), network: mode)
        request.hosts = hosts(of: task, containerID, spec)
        if mode != .host { request.resolvConf = resolverFile(spec) }
        request.files = secretFiles(spec) + configFiles(spec)
        request.logDriver = task.spec.logDriver?.name ?? ""
        request.logOptions = task.spec.logDriver?.options ?? [:]
        return request
    }

    private func labels(of task: SwarmTask, _ containerID: String) -> [String: String] {
        var labels = task.spec.containerSpec?.labels ?? [:]
        labels[Label.task] = ""
        labels[Label.taskID] = task.id
        labels[Label.taskName] = task.containerName
        labels[Label.nodeID] = task.nodeID ?? ""
        labels[Label.serviceID] = task.serviceID ?? ""
        labels[Label.serviceName] = task.serviceName ?? ""
        if let address = localAddresses[containerID] { labels[Label.localAddress] = address.description }
        return labels
    }

    private func hosts(of task: SwarmTask, _ containerID: String, _ spec: ContainerSpec) -> [String] {
        let name = spec.hostname ?? String(containerID.prefix(12))
        let addresses = overlayAttachments(task).compactMap { $0.addresses?.first?.address }
        let own = (addresses.last ?? localAddresses[containerID]).map { ["\($0) \(name)"] } ?? []
        return (spec.hosts ?? []) + own
    }

    private func resolverFile(_ spec: ContainerSpec) -> String {
        let search = spec.dnsConfig?.search ?? []
        let asked = (spec.dnsConfig?.options ?? []).filter { !$0.isEmpty }
        let options = (asked.contains { $0.hasPrefix("ndots:") } ? [] : ["ndots:0"]) + asked
        var lines = ["nameserver 127.0.0.11"]
        if !search.isEmpty { lines.append("search " + search.joined(separator: " ")) }
        lines.append("options " + options.joined(separator: " "))
        return lines.joined(separator: "\n") + "\n"
    }

    private func secretFiles(_ spec: ContainerSpec) -> [ContainerFile] {
        (spec.secrets ?? []).compactMap { reference in
            guard let secret = assignment?.secrets.first(where: { $0.id == reference.secretID }) else {
                return nil
            }
            let file = reference.file ?? ReferencedFile(name: reference.secretName)
            let path = file.name.hasPrefix("/") ? file.name : "/run/secrets/" + file.name
            return ContainerFile(
                path: path, data: Base64.decode(secret.spec.data ?? "") ?? [], uid: UInt32(file.uid) ?? 0,
                gid: UInt32(file.gid) ?? 0, mode: file.mode, isSecret: true)
        }
    }

    private func configFiles(_ spec: ContainerSpec) -> [ContainerFile] {
        (spec.configs ?? []).compactMap { reference in
            guard let file = reference.file,
                let config = assignment?.configs.first(where: { $0.id == reference.configID })
            else { return nil }
            let path = file.name.hasPrefix("/") ? file.name : "/" + file.name
            return ContainerFile(
                path: path, data: Base64.decode(config.spec.data ?? "") ?? [], uid: UInt32(file.uid) ?? 0,
                gid: UInt32(file.gid) ?? 0, mode: file.mode, isSecret: false)
        }
    }
}

/// RFC 4648 base 64, standard alphabet, padding optional.
package enum Base64 {
    package static func decode(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count * 3 / 4)
        var buffer: UInt32 = 0
        var bits = 0
        for character in text.utf8 {
            let value: UInt32
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = UInt32(character - 65)
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = UInt32(character - 97 + 26)
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = UInt32(character - 48 + 52)
            case UInt8(ascii: "+"), UInt8(ascii: "-"): value = 62
            case UInt8(ascii: "/"), UInt8(ascii: "_"): value = 63
            case UInt8(ascii: "="), UInt8(ascii: "\n"), UInt8(ascii: "\r"): continue
            default: return nil
            }
            buffer = buffer << 6 | value
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: buffer >> UInt32(bits)))
            }
        }
        return bytes
    }
}
