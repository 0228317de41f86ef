import SwarmClient
import SwarmCore
import SwarmModel

/// `swarmctl swarm ca`: the root certificate that all nodes trust, and a new one for it.
extension SwarmVerbs {
    static let authority = Command(
        "ca", "Display and rotate the root CA",
        flags: specFlags.filter { ["cert-expiry", "external-ca"].contains($0.name) } + [
            pemFlag("ca-cert", "Path to the PEM-formatted root CA certificate to use for the new cluster"),
            pemFlag("ca-key", "Path to the PEM-formatted root CA key to use for the new cluster"),
            Flag(
                "detach", short: "d", .bool,
                "Exit immediately instead of waiting for the root rotation to converge"),
            Flag("quiet", short: "q", .bool, "Suppress progress output"),
            Flag(
                "rotate", .bool,
                "Rotate the swarm CA - if no certificate or key are provided, new ones will be generated"),
        ]
    ) { invocation in
        let (client, flags) = (invocation.client, invocation.flags)
        let cluster = try await client.cluster()
        guard flags.isOn("rotate") else {
            for name in ["ca-cert", "ca-key", "cert-expiry", "external-ca"] where flags.isSet(name) {
                throw CommandFailure("`--\(name)` flag requires the `--rotate` flag to update the CA")
            }
            return print(cluster, invocation)
        }
        if flags.isSet("external-ca"), !flags.isSet("ca-cert") {
            throw CommandFailure("rotating to an external CA requires the `--ca-cert` flag to specify the external CA")
        }
        var spec = try ClusterChange.apply(flags, to: cluster.spec)
        var certificates = spec.caConfig ?? CAConfig()
        certificates.signingCACert = try flags.text("ca-cert").map { path throws(SwarmError) in
            try TextFile.read(path)
        }
        certificates.signingCAKey = try flags.text("ca-key").map { path throws(SwarmError) in
            try TextFile.read(path)
        }
        certificates.forceRotate = (certificates.forceRotate ?? 0) + 1
        spec.caConfig = certificates
        try await client.updateCluster(cluster, to: spec)
        guard !flags.isOn("detach") else { return }
        try await waitForRotation(invocation)
        if !flags.isOn("quiet") { print(try await client.cluster(), invocation) }
    }

    private static func pemFlag(_ name: String, _ usage: String) -> Flag {
        Flag(name, FlagKind("pem-file") { text throws(SwarmError) in _ = try TextFile.read(text) }, usage)
    }

    private static func print(_ cluster: Cluster, _ invocation: Invocation) {
        guard let root = cluster.tlsInfo.trustRoot, !root.isEmpty else {
            return invocation.console.print("No CA information available")
        }
        invocation.console.print(root.trimmed)
    }

    /// How often the swarm is read.
    private static let rotationPollMilliseconds: Int64 = 200

    private static func waitForRotation(_ invocation: Invocation) async throws {
        var display = ProgressDisplay(
            isTerminal: invocation.console.isTerminal, columns: invocation.console.columns)
        Interrupt.watch()
        defer { Interrupt.ignore() }
        while true {
            let cluster = try await invocation.client.cluster()
            let nodes = try await invocation.client.nodes()
            let trust = cluster.tlsInfo
            let issued = nodes.filter { node in
                let own = node.description.tlsInfo
                return own.certIssuerPublicKey == trust.certIssuerPublicKey
                    && own.certIssuerSubject == trust.certIssuerSubject
            }
            let trusting = nodes.filter { $0.description.tlsInfo.trustRoot == trust.trustRoot }
            if !invocation.isOn("quiet") {
                invocation.console.write(
                    display.show([
                        ProgressLine("issued", "rotated TLS certificates: \(issued.count)/\(nodes.count) nodes"),
                        ProgressLine("trusted", "rotated CA certificates: \(trusting.count)/\(nodes.count) nodes"),
                    ]))
                invocation.console.flush()
            }
            if !cluster.rootRotationInProgress { return }
            if Interrupt.happened {
                return invocation.console.print("Operation continuing in background.")
            }
            try await Task.sleep(for: .milliseconds(rotationPollMilliseconds))
        }
    }
}
