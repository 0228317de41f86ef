package import Store
package import SwarmCore
package import SwarmModel

/// What the leader does so that every node shows a certificate of the swarm's root and believes what it should.
///
/// All that matters is in the store: another leader goes on where this one stopped. What is kept here only spares nodes
/// from being told again and again.
package struct RootRotationKeeper: Sendable {
    /// Nodes that are told in one look.
    package static let batchMax = 30
    /// A node that was told has so long to renew its certificate and to say so.
    package static let patience: Duration = .seconds(10)

    package struct Step: Sendable, Equatable {
        /// Nodes to tell what they are to believe, and to renew their certificates.
        package var told: [ObjectID] = []
        /// Every node shows a certificate of the new root: the old one can go.
        package var isComplete = false

        package init() {}
    }

    private var told: [ObjectID: (epoch: UInt64, at: Instant)] = [:]

    package init() {}

    /// One look. A node that is down is not told, and keeps the rotation from its end until it is back or removed.
    package mutating func step(_ store: ObjectStore, self nodeID: ObjectID, at now: Instant) -> Step {
        var step = Step()
        guard let cluster = store.cluster else { return step }
        let epoch = cluster.rootEpoch ?? 0
        var late: [(at: Instant, id: ObjectID)] = []
        var behind: Set<ObjectID> = []
        step.isComplete = cluster.rootRotation != nil
        store.nodes.forEach { node in
            let shown = node.description.tlsInfo
            if !shown.hasIssuer(of: cluster.tlsInfo) { step.isComplete = false }
            guard shown != cluster.wantedTLSInfo else { return }
            behind.insert(node.id)
            // This node reads the store itself.
            guard node.id != nodeID, node.status.state == "ready" else { return }
            guard let last = told[node.id], last.epoch == epoch else { return late.append((.zero, node.id)) }
            if last.at + Self.patience <= now { late.append((last.at, node.id)) }
        }
        told = told.filter { behind.contains($0.key) }
        guard !step.isComplete else { return step }
        // Who has waited longest comes first, so that nodes that never answer keep nobody else waiting.
        late.sort { ($0.at, $0.id) < ($1.at, $1.id) }
        step.told = late.prefix(Self.batchMax).map(\.id)
        for id in step.told { told[id] = (epoch, now) }
        return step
    }
}

extension TLSInfo {
    package func hasIssuer(of other: TLSInfo) -> Bool {
        certIssuerSubject == other.certIssuerSubject && certIssuerPublicKey == other.certIssuerPublicKey
    }
}

extension CAConfig {
    /// - Parameter forced: the number of the last rotation that was asked for by number.
    package func asksForAnotherRoot(after forced: UInt64) -> Bool {
        forceRotate ?? 0 > forced || signingCACert?.isEmpty == false || signingCAKey?.isEmpty == false
    }
}

extension Cluster {
    /// PEM of all that nodes are to believe, first the root that certificates are issued from.
    package var believedRoots: String { (rootRotation?.certificate ?? "") + (rootCertificates ?? "") }

    /// What every node is to show.
    package var wantedTLSInfo: TLSInfo {
        TLSInfo(
            trustRoot: believedRoots, certIssuerSubject: tlsInfo.certIssuerSubject,
            certIssuerPublicKey: tlsInfo.certIssuerPublicKey)
    }

    package mutating func change(root change: RootChange) {
        (rootRotation, tlsInfo) = (change.rotation, change.tlsInfo)
        rootRotationInProgress = rootRotation != nil
        rootEpoch = (rootEpoch ?? 0) + 1
    }

    /// The old root goes: nobody shows a certificate of it any more. Tokens name the root, so they change with it.
    package func rotated(joinTokens: JoinTokens) -> Cluster {
        guard let rotation = rootRotation else { return self }
        var cluster = self
        (cluster.rootCertificates, cluster.rootKey) = (rotation.certificate, rotation.key)
        cluster.joinTokens = joinTokens
        var shown = tlsInfo
        shown.trustRoot = rotation.certificate
        cluster.change(root: RootChange(rotation: nil, tlsInfo: shown))
        return cluster
    }
}
