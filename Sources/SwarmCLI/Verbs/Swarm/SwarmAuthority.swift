import SwarmClient
package import SwarmCore
package import SwarmModel

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
            throw CommandFailure(
                "rotating to an external CA requires the `--ca-cert` flag to specify the external CA's cert - to add "
                    + "an external CA with the current root CA certificate, use the `update` command instead")
        }
        if flags.isSet("ca-cert"), !flags.isSet("external-ca"), !flags.isSet("ca-key") {
            throw CommandFailure(
                "the --ca-cert flag requires that a --ca-key flag and/or --external-ca flag be provided as well")
        }
        try await client.updateCluster(cluster, to: try RootRotationRequest.spec(flags, from: cluster.spec))
        guard !flags.isOn("detach") else { return }
        guard try await waitForRotation(invocation) else { return }
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

    /// - Returns: false when the user did not wait for the end.
    private static func waitForRotation(_ invocation: Invocation) async throws -> Bool {
        let isQuiet = invocation.isOn("quiet")
        var progress = RootRotationProgress(
            isTerminal: invocation.console.isTerminal, columns: invocation.console.columns)
        Interrupt.watch()
        defer { Interrupt.ignore() }
        while true {
            let cluster = try await invocation.client.cluster()
            let isOver = progress.take(cluster, try await invocation.client.nodes())
            if !isQuiet {
                invocation.console.write(progress.takeText())
                invocation.console.flush()
            }
            if isOver { return true }
            if Interrupt.happened {
                if !isQuiet {
                    invocation.console.print("Operation continuing in background.")
                    invocation.console.print("Use `swarmctl cluster inspect default` to check progress.")
                }
                return false
            }
            try await Task.sleep(for: .milliseconds(rotationPollMilliseconds))
        }
    }
}

/// What `swarm ca --rotate` asks for.
package enum RootRotationRequest {
    package static func spec(_ flags: ParsedFlags, from old: ClusterSpec) throws(SwarmError) -> ClusterSpec {
        var spec = try ClusterChange.apply(flags, to: old)
        var certificates = spec.caConfig ?? CAConfig()
        certificates.signingCACert = try flags.text("ca-cert").map { path throws(SwarmError) in
            try TextFile.read(path)
        }
        certificates.signingCAKey = try flags.text("ca-key").map { path throws(SwarmError) in
            try TextFile.read(path)
        }
        // Which external CA signs for which root, as Docker says it.
        if let certificate = certificates.signingCACert, flags.isSet("external-ca") {
            certificates.externalCAs = certificates.externalCAs?.map { authority in
                var authority = authority
                authority.caCert = certificate
                return authority
            }
        }
        if certificates.signingCACert == nil, certificates.signingCAKey == nil {
            certificates.forceRotate = (certificates.forceRotate ?? 0) + 1
        }
        spec.caConfig = certificates
        return spec
    }
}

/// How far a rotation is: two bars on a terminal, elsewhere only what root is wanted.
package struct RootRotationProgress: Sendable {
    private static let barWidth = 50
    /// Docker draws no bar on a narrower terminal.
    private static let barColumnsMin = 110

    private let isTerminal: Bool
    private let columns: Int
    private var display: ProgressDisplay
    private var lines: [ProgressLine]
    private var text = ""
    private var shownDigest = ""

    package init(isTerminal: Bool, columns: Int) {
        (self.isTerminal, self.columns) = (isTerminal, columns)
        display = ProgressDisplay(isTerminal: isTerminal, columns: columns)
        lines = [
            ProgressLine("digest", "desired root digest: "), ProgressLine("issued", "  rotated TLS certificates: "),
            ProgressLine("trusted", "  rotated CA certificates:  "),
        ]
        if isTerminal {
            text = display.show(lines)
        } else {
            text = lines.map { $0.text + "\n" }.joined()
        }
    }

    /// - Returns: whether every node has followed.
    package mutating func take(_ cluster: Cluster, _ nodes: [Node]) -> Bool {
        let wanted = cluster.tlsInfo
        let digest = "desired root digest: sha256:" + Digest.sha256(Array((wanted.trustRoot ?? "").utf8))
        let issued = nodes.filter { node in
            let own = node.description.tlsInfo
            return own.certIssuerPublicKey == wanted.certIssuerPublicKey
                && own.certIssuerSubject == wanted.certIssuerSubject
        }
        let trusting = nodes.filter { $0.description.tlsInfo.trustRoot == wanted.trustRoot }
        // Roots are not counted before the certificates are done.
        let isIssued = issued.count == nodes.count && !cluster.rootRotationInProgress
        if isTerminal {
            lines[0] = ProgressLine("digest", digest)
            lines[1] = ProgressLine("issued", "  rotated TLS certificates:  " + bar(issued.count, nodes.count))
            lines[2] = ProgressLine(
                "trusted", "  rotated CA certificates:   " + bar(isIssued ? trusting.count : 0, nodes.count))
            text += display.show(lines)
        } else if digest != shownDigest {
            text += digest + "\n"
            shownDigest = digest
        }
        return isIssued && trusting.count == nodes.count
    }

    /// What is to be written since the last time.
    package mutating func takeText() -> String {
        defer { text = "" }
        return text
    }

    private func bar(_ count: Int, _ total: Int) -> String {
        let numbers = "\(count)/\(total) nodes"
        guard columns > Self.barColumnsMin, total > 0 else { return numbers }
        let done = min(Self.barWidth, count * Self.barWidth / total)
        let bar = String(repeating: "=", count: done) + ">" + String(repeating: " ", count: Self.barWidth - done)
        return "[\(bar)] \(numbers)"
    }
}
