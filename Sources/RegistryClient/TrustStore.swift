import FoundationEssentials
import NIOSSL
import SwarmCore

/// Certificates of private registries, in Docker's layout: `DIRECTORY/HOST[:PORT]/{*.crt,*.cert,*.key}`.
///
/// `*.crt` are authorities to trust beside the system's; `X.cert` with `X.key` prove who this client is.
package struct TrustStore: Sendable {
    package static let defaultDirectories = ["/etc/swarmd/certs.d", "/etc/docker/certs.d"]
    let directories: [String]

    package init(directories: [String] = Self.defaultDirectories) { self.directories = directories }

    /// The TLS settings for one registry. Files are read anew, so that a new certificate needs no restart.
    /// - Parameter verifies: false for a registry that the operator called insecure.
    func configuration(for address: RegistryAddress, verifies: Bool) throws(SwarmError) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if !verifies { configuration.certificateVerification = .none }
        for directory in directories {
            let folder = "\(directory)/\(address)"
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            for name in names.sorted() {
                if name.hasSuffix(".crt") {
                    let authorities = try Self.certificates(folder + "/" + name)
                    configuration.additionalTrustRoots.append(.certificates(authorities))
                } else if name.hasSuffix(".cert") {
                    let key = folder + "/" + name.dropLast(5) + ".key"
                    let chain = try Self.certificates(folder + "/" + name)
                    configuration.certificateChain = chain.map { .certificate($0) }
                    configuration.privateKey = .privateKey(try Self.privateKey(key, of: folder + "/" + name))
                }
            }
            // The first directory that knows the registry decides.
            if !names.isEmpty { break }
        }
        return configuration
    }

    private static func certificates(_ path: String) throws(SwarmError) -> [NIOSSLCertificate] {
        do {
            return try NIOSSLCertificate.fromPEMFile(path)
        } catch {
            throw SwarmError(.invalidArgument, "\(path) is not a PEM certificate", cause: "\(error)")
        }
    }

    private static func privateKey(_ path: String, of certificate: String) throws(SwarmError) -> NIOSSLPrivateKey {
        guard FileManager.default.fileExists(atPath: path) else {
            throw SwarmError(.invalidArgument, "missing key \(path) for client certificate \(certificate)")
        }
        do {
            return try NIOSSLPrivateKey(file: path, format: .pem)
        } catch {
            throw SwarmError(.invalidArgument, "\(path) is not a PEM private key", cause: "\(error)")
        }
    }
}
