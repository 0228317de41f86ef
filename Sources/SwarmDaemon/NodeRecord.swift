import FoundationEssentials
import SwarmCore

/// What this node remembers of its place in a swarm, beside its certificates; absent while it is in none.
struct NodeRecord: Codable, Sendable, Equatable {
    /// Somebody to ask after a restart, whatever became of the others' addresses.
    struct Peer: Codable, Sendable, Hashable {
        var nodeID: String
        /// Where it serves its peers, best first.
        var addresses: [String]
        /// `host:port` of its gossip.
        var gossipAddress: String
        var isManager: Bool
    }
    /// Peers kept; managers come first.
    static let peersMax = 64

    var nodeID: String
    /// `host:port` at which other nodes reach this one's manager.
    var advertiseAddress: String
    var listenAddress: String
    var dataPathAddress: String
    var dataPathPort: UInt16
    /// Whether this node began the swarm: its consensus then starts with itself alone.
    var isFounder: Bool
    /// Grows when the swarm is made anew by force.
    var epoch: UInt64 = 0
    /// The log was just made this node's alone; forgotten once that is agreed.
    var isForced = false
    /// Raised with every start, so that news of this node outrank those of its former life.
    var incarnation: UInt64 = 0
    /// Keys of the gossip, newest first, sealed with this node's storage keys; base 64.
    var sealedGossipKeys: [String] = []
    var peers: [Peer] = []
    /// The version of the swarm's object that this node's keys were last locked or unlocked for: an older one, read
    /// before the log has caught up after a restart, must not undo that.
    var unlockVersion: UInt64?
    /// Which of the changes of the swarm's root this node has followed last.
    var rootEpoch: UInt64?

    static func load(from path: String) throws(SwarmError) -> NodeRecord? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        do {
            return try JSONDecoder().decode(NodeRecord.self, from: Data(contentsOf: URL(filePath: path)))
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

/// Where the parts of a swarm's state lie under the data directory.
struct StatePaths: Sendable {
    var directory: String

    var record: String { directory + "/node.json" }
    var certificates: String { directory + "/certificates" }
    var log: String { directory + "/raft.db" }
    var agent: String { directory + "/agent.db" }
}

/// Directories of state, readable by root only.
enum StateDirectory {
    static func make(_ path: String) throws(SwarmError) {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch { throw SwarmError(.internal, "directory \(path) cannot be made", cause: "\(error)") }
    }

    static func remove(_ path: String) throws(SwarmError) {
        do { try FileManager.default.removeItem(atPath: path) } catch {
            throw SwarmError(.internal, "directory \(path) cannot be removed", cause: "\(error)")
        }
    }
}
