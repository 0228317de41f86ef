import EngineHTTP
import Glibc
import Logging
import NIOSSL
import SwarmCore

/// The listeners that a configuration asks for.
struct APIListeners {
    private let configuration: DaemonConfiguration

    init(_ configuration: DaemonConfiguration) { self.configuration = configuration }

    func make(
        _ router: Router, _ headers: [(String, String)], _ logger: Logger
    ) throws(SwarmError) -> [Listener] {
        let addresses = try configuration.addresses()
        let isOpen = addresses.contains(where: \.isTCP)
        let tls = configuration.tls.isOn && isOpen ? try context() : nil
        return addresses.map { address in
            switch address {
            case .unix(let path):
                return Listener(
                    .unix(path: path, mode: 0o660, group: nil), router: router, commonHeaders: headers, logger: logger)
            case .tcp(let host, let port):
                if tls == nil {
                    logger.warning(
                        "the API is served without TLS: whoever reaches this address is root on this machine",
                        metadata: ["address": "\(address)"])
                }
                let guardian = Guardian.network(names: tls == nil ? names(host) : nil)
                return Listener(
                    .tcp(host: host, port: port), tls: tls, guardian: guardian, router: router,
                    commonHeaders: headers, logger: logger)
            }
        }
    }

    /// Names that a client may call this machine by.
    private func names(_ host: String) -> Set<String> {
        var buffer = [CChar](repeating: 0, count: 256)
        var names: Set = ["localhost", host.lowercased()]
        if unsafe gethostname(&buffer, buffer.count) == 0 {
            let name = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            names.insert(name.lowercased())
        }
        return names
    }

    /// TLS 1.2 or newer, as Docker has it, with a client certificate of the authority.
    private func context() throws(SwarmError) -> NIOSSLContext {
        let files = configuration.tls
        func read<Value>(_ file: String, _ body: () throws -> Value) throws(SwarmError) -> Value {
            do {
                return try body()
            } catch {
                throw SwarmError(
                    .invalidArgument, "\(file) cannot be used: is it PEM, and readable?", cause: "\(error)")
            }
        }
        let chain = try read(files.certificate) { try NIOSSLCertificate.fromPEMFile(files.certificate) }
        let key = try read(files.key) { try NIOSSLPrivateKey(file: files.key, format: .pem) }
        _ = try read(files.authority) { try NIOSSLCertificate.fromPEMFile(files.authority) }
        var settings = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        settings.trustRoots = .file(files.authority)
        settings.certificateVerification = .noHostnameVerification
        settings.minimumTLSVersion = .tlsv12
        settings.applicationProtocols = ["http/1.1"]
        let checked = settings
        return try read(files.certificate) { try NIOSSLContext(configuration: checked) }
    }
}
