package import SwarmCore
package import SwarmModel

/// What every kind of object has, whichever it is.
extension StoreObject {
    package var kind: ObjectKind {
        switch self {
        case .cluster: .cluster
        case .node: .node
        case .service: .service
        case .network: .network
        case .secret: .secret
        case .config: .config
        case .task: .task
        }
    }

    private var value: any SwarmObject {
        switch self {
        case .cluster(let value): value
        case .node(let value): value
        case .service(let value): value
        case .network(let value): value
        case .secret(let value): value
        case .config(let value): value
        case .task(let value): value
        }
    }

    package var id: ObjectID { value.id }
    package var version: ObjectVersion { value.version }
    package var createdAt: Timestamp { value.createdAt }
    package var uniqueName: String? { value.uniqueName }

    /// Sets what only the log may decide: version and times.
    mutating func stamp(index: UInt64, createdAt: Timestamp, updatedAt: Timestamp) {
        func stamped<Object: SwarmObject>(_ object: Object) -> Object {
            var object = object
            object.version = ObjectVersion(index: index)
            object.createdAt = createdAt
            object.updatedAt = updatedAt
            return object
        }
        switch self {
        case .cluster(let value): self = .cluster(stamped(value))
        case .node(let value): self = .node(stamped(value))
        case .service(let value): self = .service(stamped(value))
        case .network(let value): self = .network(stamped(value))
        case .secret(let value): self = .secret(stamped(value))
        case .config(let value): self = .config(stamped(value))
        case .task(let value): self = .task(stamped(value))
        }
    }
}
