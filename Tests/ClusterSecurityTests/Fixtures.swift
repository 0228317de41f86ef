import ClusterSecurity
import Glibc
import LibCrypto
import SwarmCore
import Testing

let clusterID = "clusteraaaaaaaaaaaaaaaaaa"
let start = Timestamp(nanoseconds: 1_800_000_000_000_000_000)

func hours(_ count: Int64) -> Duration { .seconds(count * 3600) }
func days(_ count: Int64) -> Duration { .seconds(count * 86_400) }

func worker(_ nodeID: String = "nodeaaaaaaaaaaaaaaaaaaaaa") -> NodePrincipal {
    NodePrincipal(nodeID: nodeID, role: .worker, clusterID: clusterID)
}

func manager(_ nodeID: String = "nodemmmmmmmmmmmmmmmmmmmmm") -> NodePrincipal {
    NodePrincipal(nodeID: nodeID, role: .manager, clusterID: clusterID)
}

func trust(_ authority: CertificateAuthority, cluster: String = clusterID) throws -> TrustBundle {
    try TrustBundle(roots: [authority.root], clusterID: cluster)
}

func identity(
    of authority: CertificateAuthority, _ node: NodePrincipal, validity: Duration = days(90),
    at now: Timestamp = start
) throws -> NodeIdentity {
    let key = P256PrivateKey.generate()
    let chain = try authority.issue(X509Request.forNode(key: key), to: node, validity: validity, at: now)
    return try NodeIdentity(
        key: key, chain: chain, trust: trust(authority, cluster: node.clusterID), storageKeys: [.generate()])
}

/// The message of the error that `body` throws; nil when it throws none.
func message(_ body: () throws -> Void) -> String? {
    do { try body() } catch let error as SwarmError { return error.message } catch { return "\(error)" }
    return nil
}

/// A fresh directory that is removed when the test is done with it.
func withDirectory<Value>(_ body: (String) throws -> Value) throws -> Value {
    var template = Array("/tmp/cluster-security-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SwarmError(.internal, "mkdtemp") }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { _ = shell("rm -rf \(path)") }
    return try body(path)
}

func write(_ content: [UInt8], to path: String) throws {
    guard let file = fopen(path, "w") else { throw SwarmError(.internal, "fopen \(path)") }
    fwrite(content, 1, content.count, file)
    fclose(file)
}

func read(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "r") else { throw SwarmError(.notFound, "fopen \(path)") }
    defer { fclose(file) }
    return drain(file)
}

@discardableResult func shell(_ command: String) -> String {
    guard let pipe = popen("{ \(command) ; } 2>&1", "r") else { return "" }
    defer { pclose(pipe) }
    return String(decoding: drain(pipe), as: UTF8.self)
}

private func drain(_ file: UnsafeMutablePointer<FILE>) -> [UInt8] {
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { return output }
        output += buffer.prefix(count)
    }
}
