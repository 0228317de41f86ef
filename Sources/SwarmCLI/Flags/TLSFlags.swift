import FoundationEssentials
import SwarmClient

/// Docker's rules for TLS towards an engine.
enum TLSFlags {
    /// - Parameter address: of the engine; sockets take no TLS.
    /// - Returns: nil when neither a flag nor the environment asks for TLS.
    static func security(
        _ flags: ParsedFlags, _ environment: [String: String], _ address: String?
    ) -> EngineSecurity? {
        func variable(_ name: String) -> String? {
            ["SWARM_", "DOCKER_"].compactMap { environment[$0 + name] }.first { !$0.isEmpty }
        }
        let files = ["tlscacert", "tlscert", "tlskey"]
        let verifies = flags.isSet("tlsverify") ? flags.isOn("tlsverify") : variable("TLS_VERIFY") != nil
        guard verifies || flags.isOn("tls") || files.contains(where: flags.isSet), address?.hasPrefix("unix:") == false
        else { return nil }
        let folder = variable("CERT_PATH") ?? "\(environment["HOME"] ?? "")/.docker"
        func file(_ flag: String, _ name: String) -> String? {
            if let path = flags.text(flag) { return path }
            let path = "\(folder)/\(name).pem"
            return FileManager.default.fileExists(atPath: path) ? path : nil
        }
        let authority = file("tlscacert", "ca")
        return EngineSecurity(
            // What is asked to be verified and cannot be is refused by name when the file is read.
            authority: verifies ? authority ?? "\(folder)/ca.pem" : nil, certificate: file("tlscert", "cert"),
            key: file("tlskey", "key"))
    }
}
