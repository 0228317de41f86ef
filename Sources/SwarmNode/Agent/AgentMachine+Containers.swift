import Dispatching
import Ports
import SwarmCore
import SwarmModel

/// From a task to what the runtime must create.
extension AgentMachine {
    /// - Throws: why the task's templates cannot be expanded.
    func containerRequest(_ task: SwarmTask, _ containerID: String) throws(SwarmError) -> ContainerRequest {
        let template = TaskTemplate(task, hostname: facts.hostname)
        var spec = try template.expand(task.spec.containerSpec ?? ContainerSpec())
        let claimed = task.genericEnvironment
        if !claimed.isEmpty { spec.env = (spec.env ?? []) + claimed }
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
        request.files = try secretFiles(spec, template) + configFiles(spec, template)
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

    private func secretFiles(_ spec: ContainerSpec, _ template: TaskTemplate) throws(SwarmError) -> [ContainerFile] {
        var files: [ContainerFile] = []
        for reference in spec.secrets ?? [] {
            guard let secret = assignment?.secrets.first(where: { $0.id == reference.secretID }) else { continue }
            let file = reference.file ?? ReferencedFile(name: reference.secretName)
            let path = file.name.hasPrefix("/") ? file.name : "/run/secrets/" + file.name
            let data = try expanded(
                secret.spec.data, secret.spec.templating, "secret \(secret.spec.name)", spec, template)
            files.append(
                ContainerFile(
                    path: path, data: data, uid: UInt32(file.uid) ?? 0, gid: UInt32(file.gid) ?? 0, mode: file.mode,
                    isSecret: true))
        }
        return files
    }

    private func configFiles(_ spec: ContainerSpec, _ template: TaskTemplate) throws(SwarmError) -> [ContainerFile] {
        var files: [ContainerFile] = []
        for reference in spec.configs ?? [] {
            guard let file = reference.file,
                let config = assignment?.configs.first(where: { $0.id == reference.configID })
            else { continue }
            let path = file.name.hasPrefix("/") ? file.name : "/" + file.name
            let data = try expanded(
                config.spec.data, config.spec.templating, "config \(config.spec.name)", spec, template)
            files.append(
                ContainerFile(
                    path: path, data: data, uid: UInt32(file.uid) ?? 0, gid: UInt32(file.gid) ?? 0, mode: file.mode,
                    isSecret: false))
        }
        return files
    }

    /// The content as the container sees it: what was made with a template driver is expanded for each task.
    private func expanded(
        _ data: String?, _ driver: Driver?, _ what: String, _ spec: ContainerSpec, _ template: TaskTemplate
    ) throws(SwarmError) -> [UInt8] {
        let bytes = Base64.decode(data ?? "") ?? []
        guard let name = driver?.name, !name.isEmpty else { return bytes }
        guard name == "golang" else {
            throw SwarmError(.invalidArgument, "failed to expand \(what): unrecognized template type: \(name)")
        }
        var attachments = TemplateAttachments()
        for entry in spec.env ?? [] {
            guard let sign = entry.firstIndex(of: "=") else { continue }
            attachments.environment[String(entry[..<sign])] = String(entry[entry.index(after: sign)...])
        }
        for reference in spec.secrets ?? [] {
            guard let secret = assignment?.secrets.first(where: { $0.id == reference.secretID }) else { continue }
            attachments.secrets[reference.file?.name ?? reference.secretName] = Self.text(secret.spec.data)
        }
        for reference in spec.configs ?? [] {
            guard let config = assignment?.configs.first(where: { $0.id == reference.configID }) else { continue }
            attachments.configs[reference.file?.name ?? reference.configName] = Self.text(config.spec.data)
        }
        return Array(try template.expand(file: String(decoding: bytes, as: UTF8.self), what, attachments).utf8)
    }

    private static func text(_ data: String?) -> String {
        String(decoding: Base64.decode(data ?? "") ?? [], as: UTF8.self)
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
