import Store
import SwarmModel

/// What the event of an update says has changed: `image.old` and `image.new`, as Docker's managers tell it.
enum EventAttributes {
    static func changes(_ before: StoreObject?, _ after: StoreObject?) -> [String: String] {
        switch (before, after) {
        case (.service(let old), .service(let new)): changes(old, new)
        case (.node(let old), .node(let new)): changes(old, new)
        default: [:]
        }
    }

    private static func changes(_ old: Service, _ new: Service) -> [String: String] {
        var attributes: [String: String] = [:]
        func image(_ service: Service) -> String? { service.spec.taskTemplate.containerSpec?.image }
        note("image", image(old), image(new), in: &attributes)
        if let before = old.spec.mode.replicated, let after = new.spec.mode.replicated {
            note("replicas", before.replicas.map(String.init), after.replicas.map(String.init), in: &attributes)
        }
        note("updatestate", old.updateStatus?.state, new.updateStatus?.state, in: &attributes)
        return attributes
    }

    private static func changes(_ old: Node, _ new: Node) -> [String: String] {
        var attributes: [String: String] = [:]
        note("availability", old.spec.availability, new.spec.availability, in: &attributes)
        note("role", old.spec.role, new.spec.role, in: &attributes)
        note("state", old.status.state, new.status.state, in: &attributes)
        return attributes
    }

    /// Nothing is said of what ended without a successor: the next state will be told.
    private static func note(_ name: String, _ old: String?, _ new: String?, in attributes: inout [String: String]) {
        guard let new, new != old else { return }
        attributes[name + ".new"] = new
        attributes[name + ".old"] = old
    }
}
