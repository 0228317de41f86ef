import FoundationEssentials
import SwarmCore

/// Who this node is in its swarm; absent while it is in none.
struct NodeIdentity: Codable, Sendable, Equatable {
    var nodeID: String
    var advertiseAddress: String
    var listenAddress: String

    static func load(from path: String) throws(SwarmError) -> NodeIdentity? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        do {
            return try JSONDecoder().decode(NodeIdentity.self, from: Data(contentsOf: URL(filePath: path)))
        } catch {
            throw SwarmError(
                .internal,
                "\(path) cannot be read; restore it, or remove the directory it is in to leave the swarm",
                cause: "\(error)")
        }
    }

    func save(to path: String) throws(SwarmError) {
        do {
            try JSONEncoder().encode(self).write(to: URL(filePath: path), options: .atomic)
        } catch { throw SwarmError(.internal, "\(path) cannot be written", cause: "\(error)") }
    }
}
