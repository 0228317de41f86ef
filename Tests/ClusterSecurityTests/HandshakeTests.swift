import ClusterSecurity
import Glibc
import LibCrypto
import SwarmCore
import Testing

/// Real TLS 1.3 handshakes between two processes of `openssl`, with the bytes that ``TLSMaterial`` gives.
@Suite struct HandshakeTests {
    /// openssl judges certificates by the machine's clock.
    let now = Timestamp(nanoseconds: Int64(time(nil)) * 1_000_000_000)

    /// What the client prints after connecting to the server over a unix socket.
    func connect(server: TLSMaterial, client: TLSMaterial) throws -> String {
        try withDirectory { folder in
            for (name, material) in [("server", server), ("client", client)] {
                try write(material.certificateChainPEM, to: "\(folder)/\(name).crt")
                try write(material.privateKeyPEM, to: "\(folder)/\(name).key")
                try write(material.trustRootsPEM, to: "\(folder)/\(name).roots")
            }
            // The client waits at most ten seconds for the server's socket. No `wait`: dash misses the end of a
            // child when the test runner's threads block SIGCHLD, and then waits for ever.
            return shell(
                """
                cd \(folder)
                timeout 20 openssl s_server -unix s -naccept 1 -tls1_3 -Verify 3 -verify_return_error -CAfile server.roots \
                  -cert server.crt -cert_chain server.crt -key server.key -www >server.log 2>&1 &
                server=$!
                for try in $(seq 200); do [ -S s ] && break; sleep 0.05; done
                printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 10 openssl s_client -unix s -tls1_3 -verify_return_error \
                  -CAfile client.roots -cert client.crt -cert_chain client.crt -key client.key -ign_eof
                kill $server 2>/dev/null
                """)
        }
    }

    func material(_ authority: CertificateAuthority, _ node: NodePrincipal, _ bundle: TrustBundle) throws -> TLSMaterial {
        let key = P256PrivateKey.generate()
        let chain = try authority.issue(X509Request.forNode(key: key), to: node, at: now)
        var material = try TLSMaterial(
            identity: NodeIdentity(
                key: key, chain: chain, trust: trust(authority), storageKeys: [.generate()]))
        material.trustRootsPEM = bundle.pem
        return material
    }

    @Test func `two nodes of one cluster shake hands, and a stranger gets none`() throws {
        let authority = try CertificateAuthority.create(at: now)
        let server = try material(authority, manager(), trust(authority))
        let client = try material(authority, worker(), trust(authority))
        let output = try connect(server: server, client: client)
        #expect(output.contains("New, TLSv1.3") && output.contains("Verify return code: 0 (ok)"))
        #expect(output.contains("HTTP/1.0 200 ok"))
        let other = try CertificateAuthority.create(at: now)
        let stranger = try material(other, worker(), trust(authority))
        let refused = try connect(server: server, client: stranger)
        #expect(!refused.contains("HTTP/1.0 200 ok") && refused.contains("alert"))
        let distrusting = try material(authority, worker(), trust(other))
        #expect(try connect(server: server, client: distrusting).contains("certificate verify failed"))
    }

    @Test func `a node that knows only the old root shakes hands with one certified by the new`() throws {
        let old = try CertificateAuthority.create(at: now)
        let next = try old.crossSigning(CertificateAuthority.create(at: now), at: now)
        let server = try material(next, manager(), trust(old).rotating(to: next.root))
        let client = try material(old, worker(), trust(old))
        let output = try connect(server: server, client: client)
        #expect(output.contains("Verify return code: 0 (ok)") && output.contains("HTTP/1.0 200 ok"))
        let settled = try material(next.settled, manager(), trust(next))
        #expect(try connect(server: settled, client: client).contains("certificate verify failed"))
    }
}
