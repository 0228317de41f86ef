import LibCrypto
import SwarmCore

/// What a certificate lets its node do; the raw value is the organizational unit that says so.
package enum CertificateRole: String, Sendable, Hashable, CaseIterable {
    case worker = "swarm-worker"
    case manager = "swarm-manager"
}

/// Who a node is, as its certificate says: common name, organizational unit and organization.
package struct NodePrincipal: Sendable, Hashable, CustomStringConvertible {
    package var nodeID: String
    package var role: CertificateRole
    package var clusterID: String

    package init(nodeID: String, role: CertificateRole, clusterID: String) {
        (self.nodeID, self.role, self.clusterID) = (nodeID, role, clusterID)
    }

    package var description: String { "\(role.rawValue) \(nodeID) of cluster \(clusterID)" }

    /// Refuses subjects that leave room for two readings: each attribute must be there exactly once.
    init(of certificate: X509Certificate) throws(SwarmError) {
        let subject = certificate.subject
        guard let nodeID = subject.commonNames.only, let unit = subject.organizationalUnits.only,
            let clusterID = subject.organizations.only
        else {
            throw SwarmError(
                .unauthenticated,
                "certificate \(subject) is no node's: it must have one CN (node), one OU (role) and one O (cluster)"
            )
        }
        guard let role = CertificateRole(rawValue: unit) else {
            throw SwarmError(
                .unauthenticated,
                "certificate of node \(nodeID) has the role \"\(unit)\": it must be swarm-worker or swarm-manager"
            )
        }
        guard NodePrincipal.isName(nodeID), NodePrincipal.isName(clusterID) else {
            throw SwarmError(
                .unauthenticated,
                "certificate \(subject) names a node or cluster with characters no identifier has")
        }
        self.init(nodeID: nodeID, role: role, clusterID: clusterID)
    }

    /// Letters, digits, `.`, `_` and `-`: what may stand in a subject and in a DNS name of a certificate.
    static func isName(_ text: String) -> Bool {
        let bytes = text.utf8
        return (1...X509Name.attributeCharactersMax).contains(bytes.count)
            && bytes.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
                    UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}

extension Array {
    /// The one element; nil when there are none or several.
    var only: Element? { count == 1 ? first : nil }
}

extension Timestamp {
    /// Saturates at the ends of what nanoseconds in 64 bits can say (the years 1677 and 2262).
    init(clampingSeconds seconds: Int64) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        self.init(nanoseconds: overflow ? (seconds < 0 ? .min + 1 : .max) : product)
    }
}

extension X509Certificate {
    var validFrom: Timestamp { Timestamp(clampingSeconds: notBefore) }
    var validUntil: Timestamp { Timestamp(clampingSeconds: notAfter) }
    /// libcrypto holds a certificate for expired at the very second of its end.
    var lastMoment: Timestamp { Timestamp(clampingSeconds: notAfter - 1) }
}

extension Duration {
    /// Days, hours and minutes, or seconds below a minute: `3d4h5m`.
    var inWords: String {
        let seconds = abs(wholeNanoseconds / 1_000_000_000)
        guard seconds >= 60 else { return "\(seconds)s" }
        var text = ""
        if seconds >= 86_400 { text += "\(seconds / 86_400)d" }
        if seconds % 86_400 >= 3600 { text += "\(seconds % 86_400 / 3600)h" }
        if seconds % 3600 >= 60 { text += "\(seconds % 3600 / 60)m" }
        return text
    }
}
