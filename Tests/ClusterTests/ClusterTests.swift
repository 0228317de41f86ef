import Foundation
import Glibc
import Testing

/// Whole clusters made by `Scripts/cluster`, driven from outside by `docker` and `swarmctl`.
///
/// Each file of `Scenarios` is one story in bash that ends with status 0 or says what was not as it should be.
@Suite(.enabled(if: getuid() == 0), .serialized) struct ClusterTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().path + "/Scenarios"

    static let scenarios: [String] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasSuffix(".sh") && $0 != "common.sh" }.sorted()
    }()

    @Test(arguments: scenarios) func `scenario`(name: String) {
        // popen, not Process, whose waiting spins on pool threads. One scenario may take ten minutes at the most.
        guard let pipe = popen("timeout 600 bash \(Self.folder)/\(name) 2>&1; echo \"status $?\"", "r") else {
            Issue.record("no shell")
            return
        }
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = fread(&buffer, 1, buffer.count, pipe)
            guard count > 0 else { break }
            output += buffer.prefix(count)
        }
        pclose(pipe)
        let text = String(decoding: output, as: UTF8.self)
        #expect(text.hasSuffix("status 0\n"), "\(name) printed:\n\(text.suffix(6000))")
    }

    @Test func `there are scenarios`() { #expect(Self.scenarios.count >= 6) }
}
