import CLinux
import Foundation
import Testing

/// `clinux_trim_code` over this very process.
@Suite struct CodeTrimmingTests {
    /// Resident pages that belong to files, in KiB.
    private func residentOfFiles() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("RssFile:") })
        return try #require(Int(line.filter(\.isNumber)))
    }

    @Test func `code that ran once is given back, and what is called again comes back`() throws {
        let before = try residentOfFiles()
        clinux_trim_code()
        let after = try residentOfFiles()
        #expect(after < before - 1024, "\(before) KiB before, \(after) KiB after")
        #expect([3, 1, 2].sorted() == [1, 2, 3])
    }
}
