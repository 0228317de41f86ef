/// Whether what a project's parts name exists.
enum References {
    /// Notes every name that leads nowhere, every cycle of `depends_on`, and objects that say nothing of their content.
    static func check(_ document: Value, _ findings: inout Findings) {
        let services = document["services"]?.entries ?? []
        let names = Names(document)
        for service in services {
            let path = "services.\(service.key)"
            check(service.value, path, names) { position, place, message in
                findings.error(at: position, path: place, message)
            }
            for dependency in service.value["depends_on"].map(Dependencies.mapping)?.entries ?? [] {
                guard !names.services.contains(dependency.key), dependency.value["required"]?.bool != false else {
                    continue
                }
                findings.error(
                    at: dependency.keyPosition, path: "\(path).depends_on",
                    "undefined service \"\(dependency.key)\"")
            }
        }
        checkCycles(services, &findings)
        for (section, kind) in [("secrets", "secret"), ("configs", "config")] {
            for object in document[section]?.entries ?? [] {
                checkContent(object, kind, "\(section).\(object.key)", &findings)
            }
        }
    }

    /// The part of it that the Docker client sees to when it deploys, in its words.
    static func checkServices(_ document: Value, _ findings: inout Findings) {
        let names = Names(document)
        for service in document["services"]?.entries ?? [] {
            check(service.value, "", names) { position, _, message in
                findings.error(at: position, "service \(service.key): \(message)")
            }
        }
    }

    private struct Names {
        var services, networks, volumes, secrets, configs: Set<String>

        init(_ document: Value) {
            func keys(_ section: String) -> Set<String> { Set((document[section]?.entries ?? []).map(\.key)) }
            services = keys("services")
            networks = keys("networks").union(["default"])
            volumes = keys("volumes")
            secrets = keys("secrets")
            configs = keys("configs")
        }
    }

    private static func check(
        _ service: Value, _ path: String, _ names: Names, note: (Position, String, String) -> Void
    ) {
        for network in service["networks"]?.entries ?? [] where !names.networks.contains(network.key) {
            note(network.keyPosition, "\(path).networks", "undefined network \"\(network.key)\"")
        }
        for (index, mount) in (service["volumes"]?.list ?? []).enumerated() {
            guard let type = mount["type"]?.string, type == "volume" || type == "cluster",
                let source = mount["source"]?.string, !source.isEmpty, !names.volumes.contains(source),
                !(type == "cluster" && source.hasPrefix("group:"))
            else { continue }
            note(mount.position, "\(path).volumes.\(index)", "undefined volume \"\(source)\"")
        }
        for (section, known, kind) in [("secrets", names.secrets, "secret"), ("configs", names.configs, "config")] {
            for (index, item) in (service[section]?.list ?? []).enumerated() {
                let source = item["source"]?.string ?? ""
                guard !known.contains(source) else { continue }
                note(item.position, "\(path).\(section).\(index)", "undefined \(kind) \"\(source)\"")
            }
        }
    }

    /// Follows `depends_on` from every service once, without recursion: a chain may be as long as the file.
    private static func checkCycles(_ services: [Value.Entry], _ findings: inout Findings) {
        var edges: [String: [Value.Entry]] = [:]
        for service in services {
            edges[service.key] = service.value["depends_on"].map(Dependencies.mapping)?.entries ?? []
        }
        enum Mark { case open, done }
        var marks: [String: Mark] = [:]
        for service in services where marks[service.key] == nil {
            var stack: [(name: String, next: Int)] = [(service.key, 0)]
            marks[service.key] = .open
            while let (name, next) = stack.last {
                let outgoing = edges[name] ?? []
                guard next < outgoing.count else {
                    marks[name] = .done
                    stack.removeLast()
                    continue
                }
                stack[stack.count - 1].next += 1
                let edge = outgoing[next]
                switch marks[edge.key] {
                case .open:
                    let cycle = stack.map(\.name).drop { $0 != edge.key } + [edge.key]
                    findings.error(
                        at: edge.keyPosition, path: "services.\(name).depends_on",
                        "dependency cycle: \(cycle.joined(separator: " -> "))")
                case .done: continue
                case nil:
                    marks[edge.key] = .open
                    stack.append((edge.key, 0))
                }
            }
        }
    }

    private static func checkContent(
        _ object: Value.Entry, _ kind: String, _ path: String, _ findings: inout Findings
    ) {
        let sources = ["file", "environment", "content", "external", "driver"].filter { object.value[$0] != nil }
        if sources.count == 1 || (sources.contains("external") && sources.count == 2) { return }
        findings.error(
            at: object.keyPosition, path: path,
            sources.isEmpty
                ? "needs one of file, environment, content or external"
                : "\(sources.joined(separator: " and ")) cannot both say what the \(kind) holds")
    }
}
