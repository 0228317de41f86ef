import Foundation
import SwarmCore

@testable import Compose

/// Files beside these tests.
enum Fixtures {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path
    static let corpus = folder + "/Corpus"

    /// What interpolation sees, for us and for the Docker client alike.
    static let environment = ["HOME": "/root", "V": "val", "N": "3", "EMPTY": ""]

    /// The corpus's projects: a name and its files in order.
    static let projects: [(name: String, files: [String])] = {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: corpus)) ?? []).filter {
            $0.hasSuffix(".yml")
        }
        var projects: [String: [String]] = [:]
        for name in names.sorted() {
            let stem = String(name.dropLast(4))
            let parts = stem.split(separator: ".")
            let isNumbered = parts.count > 1 && Int(parts[parts.count - 1]) != nil
            projects[isNumbered ? parts.dropLast().joined(separator: ".") : stem, default: []].append(name)
        }
        return projects.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }()

    static func options(_ dialect: Dialect, in directory: String = corpus) -> StackOptions {
        StackOptions(dialect: dialect, workingDirectory: directory, home: "/root", environment: environment)
    }
}

/// The disk, as the CLI's port will read it.
struct FilesOnDisk: StackFiles {
    func read(_ path: String, atMost limit: Int) throws(SwarmError) -> [UInt8] {
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw SwarmError(.notFound, "open \(path): no such file or directory")
        }
        defer { try? handle.close() }
        let data: Data?
        do { data = try handle.read(upToCount: limit + 1) } catch {
            throw SwarmError(.unknown, "read \(path): \(error)")
        }
        return Array(data ?? Data())
    }
}

/// The stock Docker client, which loads stack files without a daemon.
enum DockerClient {
    /// One that knows `stack config`, which old ones do not.
    static let path = ["/usr/local/bin/docker", "/usr/bin/docker"].first { path in
        guard FileManager.default.isExecutableFile(atPath: path) else { return false }
        return (try? run(path, ["stack", "config", "--help"], in: "/"))?.output?.contains("stack config") ?? false
    }

    /// What `docker stack config` prints, or why it refuses.
    static func config(_ files: [String], in directory: String) throws -> (output: String?, complaint: String) {
        try run(path ?? "", ["stack", "config"] + files.flatMap { ["-c", $0] }, in: directory)
    }

    private static func run(
        _ path: String, _ arguments: [String], in directory: String
    ) throws -> (output: String?, complaint: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: directory)
        process.environment = Fixtures.environment
        let (output, errors) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, errors)
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let complaint = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus == 0 ? text : nil, complaint)
    }
}
