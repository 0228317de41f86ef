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
            for entry in env { expanded.append(try expand(entry, "env")) }
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

    private func expand(_ text: String, _ field: String) throws(SwarmError) -> String {
        guard text.contains("{{") else { return text }
        do throws(TemplateError) {
            return try Template(parsing: text, missingKey: .error).render(values)
        } catch {
            // The command line's word for errors of `--format` has no place here.
            let words = "\(error)".trimmingPrefix("template parsing error: ")
            throw SwarmError(.invalidArgument, "expanding \(field) failed: \(words)")
        }
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
