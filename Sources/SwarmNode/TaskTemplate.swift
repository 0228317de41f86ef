import Dispatching
import GoTemplate
import SwarmCore
import SwarmModel

/// Docker's `{{.Node.Hostname}}` placeholders in host names, environment, mounts and volume options of one task.
struct TaskTemplate: Sendable {
    private let values: TemplateValue

    init(_ task: SwarmTask, hostname: String, architecture: String = "x86_64") {
        let labels = (task.serviceLabels ?? [:]).mapValues { TemplateValue.string($0) }
        values = .map([
            "Service": .map([
                "ID": .string(task.serviceID ?? ""), "Name": .string(task.serviceName ?? ""),
                "Labels": .map(labels),
            ]),
            "Node": .map([
                "ID": .string(task.nodeID ?? ""), "Hostname": .string(hostname),
                "Platform": .map(["Architecture": .string(architecture), "OS": .string("linux")]),
            ]),
            "Task": .map([
                "ID": .string(task.id), "Name": .string(task.containerName),
                "Slot": .string(task.slot.map(String.init) ?? task.nodeID ?? ""),
            ]),
        ])
    }

    /// The container spec with every placeholder replaced.
    /// - Throws: `.invalidArgument`, saying which field could not be expanded and why.
    func expand(_ spec: ContainerSpec) throws(SwarmError) -> ContainerSpec {
        var spec = spec
        if let hostname = spec.hostname { spec.hostname = try expand(hostname, "hostname") }
        if let env = spec.env {
            var expanded: [String] = []
            for entry in env { expanded.append(try expandValue(of: entry)) }
            spec.env = expanded
        }
        if let mounts = spec.mounts {
            var expanded: [Mount] = []
            for mount in mounts { expanded.append(try expand(mount)) }
            spec.mounts = expanded
        }
        return spec
    }

    private func expand(_ mount: Mount) throws(SwarmError) -> Mount {
        var mount = mount
        if let source = mount.source { mount.source = try expand(source, "mounts") }
        if let target = mount.target { mount.target = try expand(target, "mounts") }
        for (key, value) in mount.volumeOptions?.labels ?? [:] {
            mount.volumeOptions?.labels?[key] = try expand(value, "mounts")
        }
        for (key, value) in mount.volumeOptions?.driverConfig?.options ?? [:] {
            mount.volumeOptions?.driverConfig?.options?[key] = try expand(value, "mounts")
        }
        return mount
    }

    /// Only what stands behind the first `=` of a variable is a template.
    private func expandValue(of entry: String) throws(SwarmError) -> String {
        guard let sign = entry.firstIndex(of: "=") else { return entry }
        let value = String(entry[entry.index(after: sign)...])
        let escaped = entry.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        return try String(entry[...sign]) + expand(value, "env", context: "expanding env \"\(escaped)\": ")
    }

    private func expand(_ text: String, _ field: String, context: String = "") throws(SwarmError) -> String {
        guard text.contains("{{") else { return text }
        do throws(TemplateError) {
            return try Template(parsing: text, missingKey: .error).render(values)
        } catch {
            throw SwarmError(.invalidArgument, "expanding \(field) failed: \(context)\(Self.words(error))")
        }
    }

    /// A templated secret or config, which may also name what else its task has.
    func expand(
        file text: String, _ what: String, _ attachments: TemplateAttachments
    ) throws(SwarmError) -> String {
        do throws(TemplateError) {
            return try Template(parsing: text, functions: attachments.functions, missingKey: .error).render(values)
        } catch {
            throw SwarmError(.invalidArgument, "failed to expand \(what): \(Self.words(error))")
        }
    }

    /// In Docker's words, which call the template `expansion` and what it is expanded with `Context`.
    private static func words(_ error: TemplateError) -> String {
        // The command line's word for errors of `--format` has no place here.
        String("\(error)".trimmingPrefix("template parsing error: "))
            .replacing("template: :", with: "template: expansion:")
            .replacing("executing \"\" at", with: "executing \"expansion\" at")
            .replacing("in type map[string]interface {}", with: "in type *template.Context")
    }

    /// Refuses at creation what no task could expand, by trying it on an imaginary task.
    static func check(_ spec: ServiceSpec) throws(SwarmError) {
        guard let container = spec.taskTemplate.containerSpec else { return }
        var task = SwarmTask(id: "taskid")
        (task.serviceID, task.serviceName, task.nodeID, task.slot) = ("serviceid", spec.name, "nodeid", 1)
        task.serviceLabels = spec.labels
        do throws(SwarmError) {
            _ = try TaskTemplate(task, hostname: "hostname").expand(container)
        } catch { throw Rejection.invalid(error.message) }
    }
}

/// What templated secrets and configs may ask for by name: the task's variables, and its files by their targets.
struct TemplateAttachments: Sendable {
    var environment: [String: String] = [:]
    var secrets: [String: String] = [:]
    var configs: [String: String] = [:]

    var functions: [String: Template.Function] {
        [
            // Go's map gives nothing for a variable that is not set.
            "env": lookup("env", environment) { _ in "" },
            "secret": lookup("secret", secrets) { _ in nil },
            "config": lookup("config", configs) { _ in nil },
        ]
    }

    private func lookup(
        _ kind: String, _ values: [String: String], otherwise: @escaping @Sendable (String) -> String?
    ) -> Template.Function {
        Template.Function { arguments throws(TemplateError) in
            guard arguments.count == 1, case .string(let name) = arguments[0] else {
                throw TemplateError("wrong number of args for \(kind): want 1 got \(arguments.count)")
            }
            guard let value = values[name] ?? otherwise(name) else {
                throw TemplateError("\(kind) target \(name) not found")
            }
            return .string(value)
        }
    }
}
