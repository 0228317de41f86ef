package import LibCrypto
package import SwarmCore

/// When a node asks for a new certificate; values in, a decision out.
package enum RenewalPolicy {
    /// The shares of a certificate's life between which the moment of renewal is drawn, in percent.
    package static let window = 50...80

    package enum Decision: Sendable, Equatable {
        case wait(until: Timestamp)
        case renew(Reason)
        /// Peers refuse the certificate: the node must prove that it holds the old key, see ``Reenrolment``.
        case enrolAgain(expiredAt: Timestamp)
        /// The certificate lies in the future: the clock went back, and a new one would not help.
        case correctClock(validFrom: Timestamp)
    }
    package enum Reason: Sendable, Equatable { case age, role, issuer }

    /// A random moment between half and four fifths of the certificate's life, so that the nodes of a cluster which
    /// joined together do not renew together.
    ///
    /// Life is counted from issue, not from the backdated beginning, or a certificate of one hour would be old at
    /// once.
    package static func renewalTime(
        of certificate: X509Certificate, using generator: inout some RandomNumberGenerator
    ) -> Timestamp {
        let life = certificate.notAfter - certificate.notBefore
        let backdate = CertificateAuthority.backdate.components.seconds
        let issued = life > backdate ? certificate.notBefore + backdate : certificate.notBefore
        let remaining = max(0, certificate.notAfter - issued)
        let earliest = remaining / 100 * Int64(window.lowerBound)
        let latest = remaining / 100 * Int64(window.upperBound)
        return Timestamp(clampingSeconds: issued + Int64.random(in: earliest...latest, using: &generator))
    }

    /// `renewalTime` is what ``renewalTime(of:using:)`` drew for this certificate; `role` and `issuer` are what the
    /// managers say the node should have, nil when they have not said.
    package static func decide(
        certificate: X509Certificate, renewalTime: Timestamp, role: CertificateRole? = nil,
        issuer: X509Certificate? = nil, at now: Timestamp
    ) -> Decision {
        if now < certificate.validFrom { return .correctClock(validFrom: certificate.validFrom) }
        if now >= certificate.validUntil { return .enrolAgain(expiredAt: certificate.validUntil) }
        if let role, certificate.subject.organizationalUnits != [role.rawValue] { return .renew(.role) }
        if let issuer, !certificate.isSigned(by: issuer) { return .renew(.issuer) }
        return now >= renewalTime ? .renew(.age) : .wait(until: renewalTime)
    }
}
