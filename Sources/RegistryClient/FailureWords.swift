import AsyncHTTPClient
import NIOCore
import NIOPosix
import NIOSSL
import SwarmCore

/// Says why an exchange with a registry failed, in words that tell what to do.
enum FailureWords {
    /// - Parameter what: the beginning of the message, such as `Get "https://host/v2/"`.
    static func describe(_ error: any Error, _ what: String, _ address: RegistryAddress?) -> TransferFailure {
        switch error {
        case let failure as TransferFailure: return failure
        case let error as SwarmError: return TransferFailure(error, mayRetry: false)
        case is CancellationError:
            return TransferFailure(SwarmError(.unavailable, "\(what): cancelled"), mayRetry: false)
        case let error as HTTPClientError: return describe(error, what, address)
        case let error as NIOConnectionError: return describe(error, what)
        case let error as NIOSSLError: return tls(error, what, address)
        case let error as NIOSSLExtraError where error == .failedToValidateHostname:
            let name = address.map { "\($0.host)" } ?? "this host"
            return TransferFailure(
                SwarmError(
                    .permissionDenied, "\(what): tls: the registry's certificate is for other names, not for \(name)"),
                mayRetry: false)
        case let error as BoringSSLError:
            return tls(.handshakeFailed(error), what, address)
        case let error as IOError:
            return TransferFailure(SwarmError(.unavailable, "\(what): \(words(error))"), mayRetry: true)
        default:
            return TransferFailure(SwarmError(.unavailable, "\(what): \(error)"), mayRetry: true)
        }
    }

    private static func describe(
        _ error: HTTPClientError, _ what: String, _ address: RegistryAddress?
    ) -> TransferFailure {
        switch error {
        case .connectTimeout, .getConnectionFromPoolTimeout:
            let host = address?.description ?? "the registry"
            return TransferFailure(
                SwarmError(.unavailable, "\(what): no connection to \(host): timed out"), mayRetry: true)
        case .readTimeout, .deadlineExceeded, .writeTimeout:
            return TransferFailure(
                SwarmError(.deadlineExceeded, "\(what): the registry stopped answering: timed out"), mayRetry: true)
        case .tlsHandshakeTimeout:
            return TransferFailure(SwarmError(.unavailable, "\(what): TLS handshake timed out"), mayRetry: true)
        case .remoteConnectionClosed:
            return TransferFailure(
                SwarmError(.unavailable, "\(what): the registry closed the connection: unexpected EOF"),
                mayRetry: true)
        case .cancelled:
            return TransferFailure(SwarmError(.unavailable, "\(what): cancelled"), mayRetry: false)
        default:
            return TransferFailure(SwarmError(.unavailable, "\(what): \(error)"), mayRetry: true)
        }
    }

    private static func describe(_ error: NIOConnectionError, _ what: String) -> TransferFailure {
        guard let first = error.connectionErrors.first?.error else {
            return TransferFailure(
                SwarmError(.unavailable, "\(what): lookup \(error.host): no such host"), mayRetry: true)
        }
        let target = "\(error.host):\(error.port)"
        let reason = (first as? IOError).map(words) ?? (first is ChannelError ? "timed out" : "\(first)")
        return TransferFailure(
            SwarmError(.unavailable, "\(what): dial tcp \(target): connect: \(reason)"), mayRetry: true)
    }

    private static func words(_ error: IOError) -> String {
        switch error.errnoCode {
        case 111: "connection refused"
        case 104: "connection reset by peer"
        case 101: "network is unreachable"
        case 113: "no route to host"
        case 110: "timed out"
        default: "\(error)"
        }
    }

    private static func tls(_ error: NIOSSLError, _ what: String, _ address: RegistryAddress?) -> TransferFailure {
        let text = "\(error)"
        let host = address?.description ?? "HOST"
        let message: String
        if text.contains("CERTIFICATE_VERIFY_FAILED") {
            message =
                "tls: certificate signed by unknown authority: put the authority's certificate into "
                + "\(TrustStore.defaultDirectories[0])/\(host)/ca.crt, or allow the registry with "
                + "--insecure-registry \(host)"
        } else if text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST") {
            message =
                "http: server gave HTTP response to HTTPS client: allow it with --insecure-registry \(host) if that "
                + "is meant"
        } else if text.contains("CERTIFICATE_REQUIRED") || text.contains("BAD_CERTIFICATE") {
            message =
                "tls: the registry asks for a client certificate: put client.cert and client.key into "
                + "\(TrustStore.defaultDirectories[0])/\(host)/"
        } else {
            message = "tls: \(text)"
        }
        return TransferFailure(SwarmError(.unavailable, "\(what): \(message)"), mayRetry: false)
    }
}
