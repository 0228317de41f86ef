import NIOSSL
import SwarmCore

/// TLS towards an engine: whom to trust, and the certificate to show.
package struct EngineSecurity: Sendable, Equatable {
    /// PEM file of authorities; nil trusts any server, as Docker's `--tls` without `--tlsverify` does.
    package var authority: String?
    /// PEM files of the client's certificate and key; nil shows none.
    package var certificate: String?
    package var key: String?

    package init(authority: String?, certificate: String?, key: String?) {
        (self.authority, self.certificate, self.key) = (authority, certificate, key)
    }

    /// - Throws: `.invalidArgument` with the file that cannot be used.
    func configuration() throws(SwarmError) -> TLSConfiguration {
        func read<Value>(_ file: String, _ body: () throws -> Value) throws(SwarmError) -> Value {
            do {
                return try body()
            } catch {
                let words = "could not load TLS file \(file): is it PEM, and readable?"
                throw SwarmError(.invalidArgument, words, cause: "\(error)")
            }
        }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        if let authority {
            _ = try read(authority) { try NIOSSLCertificate.fromPEMFile(authority) }
            configuration.trustRoots = .file(authority)
        } else {
            configuration.certificateVerification = .none
        }
        if let certificate, let key {
            let chain = try read(certificate) { try NIOSSLCertificate.fromPEMFile(certificate) }
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(try read(key) { try NIOSSLPrivateKey(file: key, format: .pem) })
        }
        return configuration
    }
}
