import ClusterSecurity
import FoundationEssentials
import LibCrypto
import SwarmCore
import SwarmModel
import SwarmNode
import Synchronization

/// Calls between nodes that have an answer, by name; bodies are JSON.
enum ClusterCall {
    /// The roots that the cluster believes; anybody may ask, and believes only what a join token vouches for.
    static let roots = "ca.roots"
    /// A stranger with a join token asks to become a node.
    static let enrol = "ca.enrol"
    /// A node whose certificate expired asks for something to sign.
    static let challenge = "ca.challenge"
    static let reenrol = "ca.reenrol"
    /// A node asks for a certificate over a new key, in the role that the store gives it.
    static let renew = "ca.renew"
    /// A node says what it is and where: after a restart, or on another address.
    static let announce = "node.announce"

    /// The leader tells a node what it is to believe, and whose certificate it is to show.
    static let followRoots = "ca.follow"

    /// A node asks for the keys of the gossip, which change with time.
    static let gossipKeys = "gossip.keys"

    /// A manager asks for lines of this node's tasks, in bytes of ``LogCallCodec``; may wait for some.
    static let logs = "task.logs"

    /// What is answered to those without a valid certificate.
    static let open: Set<String> = [roots, enrol, challenge, reenrol]

    static func encode(_ value: some Encodable) throws(SwarmError) -> [UInt8] {
        do { return Array(try JSONEncoder().encode(value)) } catch {
            throw SwarmError(.internal, "a call between nodes cannot be encoded", cause: "\(error)")
        }
    }

    static func decode<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8]) throws(SwarmError) -> Value {
        do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch {
            throw SwarmError(
                .invalidArgument, "a call between nodes cannot be read; do all nodes run the same swarmd?",
                cause: "\(error)")
        }
    }
}

struct RootsAnswer: Codable, Sendable {
    /// PEM.
    var roots: String
}

struct EnrolmentRequest: Codable, Sendable {
    var token: String
    /// DER, base 64.
    var request: String
    var availability: String
    var description: NodeDescription
    /// `host:port` at which the node serves its peers; without a host, the one it called from counts.
    var address: String
}

/// What makes a stranger a node.
struct EnrolmentGrant: Codable, Sendable {
    var nodeID: String
    var clusterID: String
    var isManager: Bool
    /// Leaf first, PEM.
    var chain: String
    var roots: String
    var gossipKeys: [String]
    var dataPathPort: UInt16
    var epoch: UInt64
    var rootEpoch: UInt64?
    var peers: [NodeRecord.Peer]
    /// The address that the call came from, as the manager sees it.
    var seenAddress: String
}

struct RenewalRequest: Codable, Sendable {
    /// DER, base 64.
    var request: String
}

struct RenewalGrant: Codable, Sendable {
    var chain: String
    var roots: String
    /// See ``WantedRoots``; nil from an earlier version.
    var rootEpoch: UInt64?
}

struct ReenrolmentRequest: Codable, Sendable {
    var challenge: String
    var chain: [String]
    var request: String
    var proof: String
}

struct NodeAnnouncement: Codable, Sendable {
    var description: NodeDescription
    var address: String
}

/// Base 64 as `String`.
enum Base64Text {
    static func encode(_ bytes: [UInt8]) -> String { String(decoding: Base64.encode(bytes), as: UTF8.self) }
    static func decode(_ text: String) throws(SwarmError) -> [UInt8] {
        guard let bytes = Base64.decode(Array(text.utf8)) else {
            throw SwarmError(.invalidArgument, "a call between nodes holds bytes that are not base 64")
        }
        return bytes
    }
}

/// The certificates that a manager showed, kept until the roots that judge them are here.
final class SeenChain: Sendable {
    private let state = Mutex<[[UInt8]]>([])

    var chain: [[UInt8]] { state.withLock { $0 } }
    func set(_ chain: [[UInt8]]) { state.withLock { $0 = chain } }
}
