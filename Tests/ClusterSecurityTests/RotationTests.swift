import ClusterSecurity
import LibCrypto
import SwarmCore
import Testing

@Suite struct RotationTests {
    @Test
    func `while the root is replaced both sides believe each other, and afterwards the old root is refused`()
        throws
    {
        let old = try CertificateAuthority.create(at: start)
        let oldNode = try identity(of: old, worker())
        let rotating = try old.crossSigning(CertificateAuthority.create(at: start), at: start)
        let key = P256PrivateKey.generate()
        let newChain = try rotating.issue(X509Request.forNode(key: key), to: manager(), at: start)
        #expect(newChain.count == 2)

        let before = try trust(old)
        let during = try before.rotating(to: rotating.root)
        let after = try during.settled(on: rotating.root)
        // A node that has not heard of the rotation believes a new certificate through the cross-signed root.
        #expect(try before.principal(of: newChain, at: start) == manager())
        #expect(throws: SwarmError.self) { try before.principal(of: [newChain[0]], at: start) }
        for chain in [newChain, [newChain[0]]] {
            #expect(try during.principal(of: chain, at: start) == manager())
            #expect(try after.principal(of: chain, at: start) == manager())
        }
        #expect(try before.principal(of: oldNode.chain, at: start) == worker())
        #expect(try during.principal(of: oldNode.chain, at: start) == worker())
        let text = message { _ = try after.principal(of: oldNode.chain, at: start) } ?? ""
        #expect(text.contains("missed a rotation of the CA"))
        // Settled, the authority sends no cross-signed root any more.
        let settled = try rotating.settled.issue(X509Request.forNode(key: key), to: manager(), at: start)
        #expect(settled.count == 1)
        #expect(throws: SwarmError.self) { try before.principal(of: settled, at: start) }
    }

    @Test func `a rotation may be superseded by another`() throws {
        let first = try CertificateAuthority.create(at: start)
        let second = try first.crossSigning(CertificateAuthority.create(at: start), at: start)
        let third = try first.crossSigning(CertificateAuthority.create(at: start), at: start)
        let bundle = try trust(first).rotating(to: second.root).rotating(to: third.root)
        #expect(bundle.roots == [third.root, second.root, first.root])
        let chain = try third.issue(X509Request.forNode(key: .generate()), to: worker(), at: start)
        #expect(try bundle.principal(of: chain, at: start) == worker())
        #expect(try trust(first).principal(of: chain, at: start) == worker())
    }

    @Test func `a rotation needs a new key, and the cross-signed root ends with the root that signed it`()
        throws
    {
        let old = try CertificateAuthority.create(at: start)
        #expect(
            message { _ = try old.crossSigning(old, at: start) }?.contains("rotation needs a new key") == true
        )
        let later = start + days(19 * 365)
        let next = try old.crossSigning(CertificateAuthority.create(at: later), at: later)
        #expect(next.crossSigned?.notAfter == old.root.notAfter)
        let tooLate = start + days(21 * 365)
        #expect(
            message { _ = try old.crossSigning(CertificateAuthority.create(at: tooLate), at: tooLate) }?
                .contains("can vouch for no other") == true)
    }

    @Test func `a trust bundle holds roots only and comes back from its PEM`() throws {
        let authority = try CertificateAuthority.create(at: start)
        let node = try identity(of: authority, worker())
        #expect(throws: SwarmError.self) { try TrustBundle(roots: [], clusterID: clusterID) }
        #expect(throws: SwarmError.self) { try TrustBundle(roots: node.chain, clusterID: clusterID) }
        let next = try authority.crossSigning(CertificateAuthority.create(at: start), at: start)
        let cross = try #require(next.crossSigned)
        #expect(throws: SwarmError.self) { try TrustBundle(roots: [cross], clusterID: clusterID) }
        let bundle = try trust(authority).rotating(to: next.root)
        #expect(try TrustBundle(pem: bundle.pem, clusterID: clusterID) == bundle)
        #expect(try bundle.rotating(to: next.root) == bundle)
    }
}

@Suite struct RenewalTests {
    let authority: CertificateAuthority
    let node: NodeIdentity

    init() throws {
        authority = try CertificateAuthority.create(at: start)
        node = try identity(of: authority, worker(), validity: days(90))
    }

    @Test func `renewal falls anywhere between half and four fifths of a certificate's life`() throws {
        var generator = SeededGenerator(seed: 7)
        var shares: [Double] = []
        for _ in 0..<2000 {
            let moment = RenewalPolicy.renewalTime(of: node.certificate, using: &generator)
            shares.append(Double(moment.seconds - start.seconds) / (90 * 86_400))
        }
        #expect(shares.allSatisfy { (0.5...0.8).contains($0) })
        #expect((shares.min() ?? 1) < 0.51 && (shares.max() ?? 0) > 0.79)
        let short = try identity(of: authority, worker(), validity: hours(1))
        let moment = RenewalPolicy.renewalTime(of: short.certificate, using: &generator)
        #expect(moment >= start + .seconds(1800) && moment <= start + .seconds(2880))
    }

    @Test func `the decision follows age, role, issuer and clock`() throws {
        let due = start + days(60)
        func decide(
            _ now: Timestamp, role: CertificateRole? = nil, issuer: X509Certificate? = nil
        ) -> RenewalPolicy.Decision {
            RenewalPolicy.decide(
                certificate: node.certificate, renewalTime: due, role: role, issuer: issuer, at: now)
        }
        #expect(decide(start) == .wait(until: due))
        #expect(decide(due) == .renew(.age))
        #expect(decide(start, role: .worker, issuer: authority.root) == .wait(until: due))
        #expect(decide(start, role: .manager) == .renew(.role))
        let other = try CertificateAuthority.create(at: start)
        #expect(decide(start, issuer: other.root) == .renew(.issuer))
        #expect(decide(start + days(91)) == .enrolAgain(expiredAt: start + days(90)))
        #expect(decide(start + hours(-3)) == .correctClock(validFrom: start + hours(-1)))
    }
}

@Suite struct ReenrolmentTests {
    let authority: CertificateAuthority
    let node: NodeIdentity
    let later = start + days(200)
    let challenge = Reenrolment.freshChallenge()

    init() throws {
        authority = try CertificateAuthority.create(at: start)
        node = try identity(of: authority, worker())
    }

    @Test func `a node whose certificate expired while it was off comes back with a new key`() throws {
        #expect(throws: SwarmError.self) { try node.trust.principal(of: node.chain, at: later) }
        let key = P256PrivateKey.generate()
        let sent = try Reenrolment(of: node, newKey: key, challenge: challenge)
        let (who, request) = try sent.verify(challenge: challenge, trust: trust(authority), at: later)
        #expect(who == worker())
        let chain = try authority.issue(request, to: who, at: later)
        let renewed = try node.renewed(key: key, chain: chain, trust: trust(authority))
        #expect(try renewed.trust.principal(of: renewed.chain, at: later) == worker())
        #expect(renewed.storageKeys.map(\.bytes) == node.storageKeys.map(\.bytes))
    }

    @Test func `without the old key, or with another challenge, request or cluster, nobody comes back`()
        throws
    {
        let bundle = try trust(authority)
        let good = try Reenrolment(of: node, newKey: .generate(), challenge: challenge)
        func refusal(_ sent: Reenrolment, _ challenge: [UInt8], _ bundle: TrustBundle, _ now: Timestamp)
            -> String?
        {
            message { _ = try sent.verify(challenge: challenge, trust: bundle, at: now) }
        }
        #expect(refusal(good, challenge, bundle, later) == nil)
        #expect(refusal(good, Reenrolment.freshChallenge(), bundle, later)?.contains("did not prove") == true)
        #expect(refusal(good, [], bundle, later)?.contains("32 bytes") == true)
        var swapped = good
        swapped.request = try X509Request.forNode(key: .generate()).der
        #expect(refusal(swapped, challenge, bundle, later)?.contains("did not prove") == true)
        // Somebody who has only the certificate, which every peer has seen.
        var thief = good
        thief.proof = try P256PrivateKey.generate().signature(over: challenge + good.request)
        #expect(refusal(thief, challenge, bundle, later)?.contains("did not prove") == true)
        let same = try Reenrolment(of: node, newKey: node.key, challenge: challenge)
        #expect(refusal(same, challenge, bundle, later)?.contains("needs a new key") == true)
        let other = try CertificateAuthority.create(at: start)
        #expect(try refusal(good, challenge, trust(other), later)?.contains("was not issued by a CA") == true)
        #expect(
            refusal(good, challenge, bundle, start + days(-2))?.contains("synchronise the clocks") == true)
        var empty = good
        empty.chain = []
        #expect(refusal(empty, challenge, bundle, later)?.contains("missing or damaged") == true)
    }

    @Test func `a renewal for another node is refused`() throws {
        let key = P256PrivateKey.generate()
        let chain = try authority.issue(X509Request.forNode(key: key), to: manager(), at: start)
        #expect(
            message { _ = try node.renewed(key: key, chain: chain, trust: trust(authority)) }?
                .contains("this is node \(worker().nodeID)") == true)
        #expect(
            message { _ = try node.renewed(key: node.key, chain: chain, trust: trust(authority)) }?
                .contains("does not belong to its certificate") == true)
    }
}
