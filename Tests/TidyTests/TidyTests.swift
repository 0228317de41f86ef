import SwarmCore
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#endif

/// The house style as tests: what a reader may rely on in every file.
@Suite struct TidyTests {
    struct SourceFile {
        var path: String
        var lines: [Substring]
        var module: String
    }

    static let root: String = {
        let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        return parts.dropLast(3).joined(separator: "/")
    }()

    static func files(under folder: String) -> [SourceFile] {
        let top = root + "/" + folder
        guard let names = try? FileManager.default.subpathsOfDirectory(atPath: top) else { return [] }
        return names.filter { $0.hasSuffix(".swift") && !$0.contains("Generated") }.sorted().compactMap { name in
            guard let data = FileManager.default.contents(atPath: top + "/" + name) else { return nil }
            let lines = String(decoding: data, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            return SourceFile(
                path: folder + "/" + name, lines: lines, module: String(name.prefix { $0 != "/" }))
        }
    }

    static let pure: Set<String> = [
        "SwarmCore", "SwarmModel", "Consensus", "Store", "Allocation", "Scheduling", "Orchestration", "Dispatching",
        "Execution", "Overlay", "NameService", "SwarmNode", "Membership", "GoTemplate", "Simulation", "Compose",
        "LogGathering",
    ]

    @Test func `there are sources to check`() { #expect(Self.files(under: "Sources").count > 50) }

    @Test func `no file is longer than 500 lines`() {
        let long = (Self.files(under: "Sources") + Self.files(under: "Tests")).filter { $0.lines.count > 501 }
        #expect(long.map { "\($0.path): \($0.lines.count)" } == [])
    }

    @Test func `no line is longer than 120 columns`() {
        for file in Self.files(under: "Sources") {
            for (index, line) in file.lines.enumerated() where line.count > 120 {
                Issue.record("\(file.path):\(index + 1) has \(line.count) columns")
            }
        }
    }

    @Test func `pure modules reach for no clock, thread, randomness or framework`() {
        let banned = [
            "import Foundation", "import NIO", " async ", "await ", " Task {", "Task.detached", ".random(in: ",
            ".shuffled()", ".randomElement()", "Logger", "Mutex", "fatalError(", "ContinuousClock", "Glibc",
        ]
        for file in Self.files(under: "Sources") where Self.pure.contains(file.module) {
            // Ports are protocols of the outside world: their methods are asynchronous by nature.
            if file.path.hasSuffix("SwarmNode/Ports.swift") || file.path.hasSuffix("SwarmNode/ControlPlane.swift") {
                continue
            }
            for (index, line) in file.lines.enumerated() where !line.contains("//") {
                for word in banned where line.contains(word) && !line.contains("using:") {
                    Issue.record("\(file.path):\(index + 1) contains '\(word)'")
                }
            }
        }
    }

    @Test func `nothing forces, nothing is left to do`() {
        let banned = ["try!", " as! ", "fatalError(", "TODO", "FIXME"]
        for file in Self.files(under: "Sources") {
            for (index, line) in file.lines.enumerated() {
                for word in banned where line.contains(word) {
                    Issue.record("\(file.path):\(index + 1) contains '\(word)'")
                }
            }
        }
    }

    @Test func `no module has a type of its own name`() {
        for file in Self.files(under: "Sources") {
            for line in file.lines {
                for keyword in ["struct", "enum", "class", "actor", "protocol"]
                where line.contains("\(keyword) \(file.module) ") || line.contains("\(keyword) \(file.module):") {
                    Issue.record("\(file.path) declares \(keyword) \(file.module)")
                }
            }
        }
    }
}
