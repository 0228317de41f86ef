package import SwarmCore

/// Where stack files and what they name are read from; implemented outside, so that loading itself touches no disk.
package protocol StackFiles {
    /// A file's bytes, at most one more than asked for, so that the loader sees that there are too many.
    ///
    /// - Parameters:
    ///   - path: absolute, or `-` for standard input.
    ///   - limit: bytes.
    /// - Throws: `.notFound`, `.permissionDenied` or another code with a message that names the path.
    func read(_ path: String, atMost limit: Int) throws(SwarmError) -> [UInt8]

    /// Where a path leads with all links followed; the path itself where that cannot be told.
    func resolved(_ path: String) -> String
}

extension StackFiles {
    package func resolved(_ path: String) -> String { path }
}

/// Files in memory, by absolute path.
package struct FilesInMemory: StackFiles {
    package var files: [String: [UInt8]]

    package init(_ files: [String: String] = [:]) { self.files = files.mapValues { Array($0.utf8) } }

    package func read(_ path: String, atMost limit: Int) throws(SwarmError) -> [UInt8] {
        guard let bytes = files[path] else {
            throw SwarmError(.notFound, "open \(path): no such file or directory")
        }
        return Array(bytes.prefix(limit + 1))
    }
}

/// How stack files are read.
package struct StackOptions: Sendable {
    package var dialect: Dialect
    /// Absolute; relative names of stack files start here.
    package var workingDirectory: String
    package var home: String
    /// The process's environment.
    package var environment: [String: String]
    /// Services with a profile run only if one of theirs is here; nil: as `COMPOSE_PROFILES` says.
    package var profiles: Set<String>?
    package var interpolates: Bool
    /// Whether `include` and `extends` may name files outside the project's directory.
    package var allowsOutsideFiles: Bool

    package init(
        dialect: Dialect = .specification, workingDirectory: String, home: String = "/root",
        environment: [String: String] = [:], profiles: Set<String>? = nil, interpolates: Bool = true,
        allowsOutsideFiles: Bool = false
    ) {
        self.dialect = dialect
        self.workingDirectory = workingDirectory
        self.home = home
        self.environment = environment
        self.profiles = profiles
        self.interpolates = interpolates
        self.allowsOutsideFiles = allowsOutsideFiles
    }
}
