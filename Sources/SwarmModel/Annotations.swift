package import SwarmCore

/// Docker's swarm objects, as they stand in memory, in the log, on the wire and in the API.
///
/// Optional fields are fields that Docker omits when absent: what a client sent is what it reads back.
/// Property names map to Docker's JSON keys in each type's `CodingKeys`.

package typealias ObjectID = String

/// The log index at which an object was last written; a client sends it back to prove what it has seen.
package struct ObjectVersion: Sendable, Hashable, Codable {
    package var index: UInt64

    package init(index: UInt64 = 0) { self.index = index }

    enum CodingKeys: String, CodingKey { case index = "Index" }
}

/// What every stored object has.
package protocol SwarmObject: Sendable, Codable, Equatable {
    var id: ObjectID { get }
    var version: ObjectVersion { get set }
    var createdAt: Timestamp { get set }
    var updatedAt: Timestamp { get set }
    /// The unique name within its kind, or nil where names do not identify.
    var uniqueName: String? { get }
}

/// A named driver with its options, as in log drivers and network drivers.
package struct Driver: Sendable, Hashable, Codable {
    package var name: String?
    package var options: [String: String]?

    package init(name: String? = nil, options: [String: String]? = nil) {
        (self.name, self.options) = (name, options)
    }

    enum CodingKeys: String, CodingKey { case name = "Name", options = "Options" }
}
