import ClusterSecurity
import Glibc
import LibCrypto
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import SwarmCore

/// The two TLS ends of one identity: version 1.3 only, certificates both ways.
///
/// Chains are judged by ``PeerVerifier`` alone. The handshake itself lets every certificate through whose key the peer
/// holds, and the verdict decides what happens next: so a refused peer hears why, in words, instead of an alert.
struct TLSContexts: Sendable {
    let client: NIOSSLContext
    let server: NIOSSLContext

    /// `protocolName` is what both ends must agree on (ALPN).
    init(_ identity: NodeIdentity, protocolName: String) throws(SwarmError) {
        do {
            let chain = try identity.chain.map {
                NIOSSLCertificateSource.certificate(try NIOSSLCertificate(bytes: $0.der, format: .der))
            }
            let key = NIOSSLPrivateKeySource.privateKey(
                try NIOSSLPrivateKey(bytes: TLSMaterial(identity: identity).privateKeyPEM, format: .pem))
            var server = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: key)
            // Asks for a certificate and goes on without one: new nodes have none yet.
            server.certificateVerification = .optionalVerification
            var client = TLSConfiguration.makeClientConfiguration()
            client.certificateChain = chain
            client.privateKey = key
            self.server = try NIOSSLContext(configuration: Self.common(server, protocolName))
            self.client = try NIOSSLContext(configuration: Self.common(client, protocolName))
        } catch {
            throw SwarmError(
                .internal, "this node's certificate and key cannot be used for TLS", cause: words(error))
        }
    }

    /// The client end of a node that has no certificate.
    static func stranger(protocolName: String) throws(SwarmError) -> NIOSSLContext {
        do {
            return try NIOSSLContext(configuration: common(.makeClientConfiguration(), protocolName))
        } catch { throw SwarmError(.internal, "TLS cannot be set up", cause: words(error)) }
    }

    private static func common(_ configuration: TLSConfiguration, _ protocolName: String) -> TLSConfiguration
    {
        var configuration = configuration
        configuration.minimumTLSVersion = .tlsv13
        configuration.maximumTLSVersion = .tlsv13
        // Names are node ids, which `PeerVerifier` compares; nor are the system's roots of any use here.
        if configuration.certificateVerification == .fullVerification {
            configuration.certificateVerification = .noHostnameVerification
        }
        configuration.trustRoots = .certificates([])
        configuration.applicationProtocols = [protocolName]
        configuration.shutdownTimeout = .milliseconds(500)
        return configuration
    }
}

/// What a peer has shown in the handshake of one connection; lives on the connection's event loop.
final class PeerProof {
    private(set) var chain: [[UInt8]]?

    /// A callback for a TLS handler: it remembers the chain, and refuses only what cannot be read.
    func callback() -> NIOSSLCustomVerificationCallback {
        { [self] certificates, promise in
            chain = try? certificates.map { try $0.toDERBytes() }
            promise.succeed(chain == nil ? .failed : .certificateVerified)
        }
    }
}

/// A lower-level error in a few words.
func words(_ error: any Error) -> String {
    switch error {
    case let error as SwarmError: error.description
    case let error as IOError: unsafe String(cString: strerror(error.errnoCode))
    case let error as NIOConnectionError:
        error.connectionErrors.first.map { words($0.error) } ?? "the name \(error.host) has no address"
    case ChannelError.connectTimeout: "no answer in time"
    case NIOSSLError.uncleanShutdown: "the connection broke off"
    default: "\(error)"
    }
}
