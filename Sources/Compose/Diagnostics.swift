package import SwarmCore

/// Whose rules a file is read by.
package enum Dialect: Sendable {
    /// The Compose Specification of today, with everything that `docker stack deploy` takes.
    case specification
    /// What `docker stack deploy` takes and refuses, in its words: `--strict`.
    case docker
}

/// What is wrong with, or worth knowing about, one place of a stack file.
package struct Diagnostic: Sendable, Hashable, CustomStringConvertible {
    package enum Severity: Sendable, Hashable { case error, warning }

    package var severity: Severity
    /// Nil for what concerns no place, such as a file that cannot be read.
    package var position: Position?
    /// Of the key: `services.web.ports.0.published`; empty at the top.
    package var path: String
    package var message: String

    package init(_ severity: Severity, at position: Position?, path: String = "", _ message: String) {
        (self.severity, self.position, self.path, self.message) = (severity, position, path, message)
    }

    /// `stack.yml:3:5: services.web.image: …`.
    package var description: String {
        let place = position.map { "\($0): " } ?? ""
        return place + (path.isEmpty ? "" : "\(path): ") + message
    }

    /// As the Docker client words it: the path is the sentence's subject.
    package var dockerText: String { path.isEmpty ? message : "\(path) \(message)" }
}

/// Everything that is wrong with a stack file, in the order of its lines.
package struct StackFileErrors: Error, Sendable, CustomStringConvertible {
    package var diagnostics: [Diagnostic]
    /// Beyond `StackLimits.diagnosticsMax`.
    package var untold: Int

    package init(_ diagnostics: [Diagnostic]) {
        let errors = Self.inOrder(diagnostics.filter { $0.severity == .error })
        self.diagnostics = Array(errors.prefix(StackLimits.diagnosticsMax))
        untold = errors.count - self.diagnostics.count
    }

    /// By file, as each first appears, then by line; what has no place stays first.
    private static func inOrder(_ diagnostics: [Diagnostic]) -> [Diagnostic] {
        var files: [String: Int] = [:]
        for diagnostic in diagnostics {
            if let file = diagnostic.position?.file, files[file] == nil { files[file] = files.count }
        }
        func place(_ position: Position?) -> (Int, Int, Int) {
            guard let position else { return (-1, 0, 0) }
            return (files[position.file] ?? 0, position.line, position.column)
        }
        return diagnostics.enumerated().sorted {
            let (left, right) = (place($0.element.position), place($1.element.position))
            return left == right ? $0.offset < $1.offset : left < right
        }.map(\.element)
    }

    package var description: String {
        diagnostics.map(\.description).joined(separator: "\n") + (untold > 0 ? "\nand \(untold) more" : "")
    }

    package var swarmError: SwarmError { SwarmError(.invalidArgument, description) }
}

/// Gathers what is found on the way.
struct Findings {
    private(set) var diagnostics: [Diagnostic] = []
    private var seen: Set<Diagnostic> = []
    private(set) var hasErrors = false

    mutating func error(at position: Position?, path: String = "", _ message: String) {
        add(Diagnostic(.error, at: position, path: path, message))
    }

    mutating func warn(at position: Position?, path: String = "", _ message: String) {
        add(Diagnostic(.warning, at: position, path: path, message))
    }

    /// One entry for what an alias brings to several places at once.
    mutating func add(_ diagnostic: Diagnostic) {
        if diagnostic.severity == .error { hasErrors = true }
        guard seen.insert(diagnostic).inserted else { return }
        diagnostics.append(diagnostic)
    }

    mutating func add(_ others: [Diagnostic]) { for diagnostic in others { add(diagnostic) } }

    /// Fails with all errors, if there are any.
    func check() throws(StackFileErrors) {
        if hasErrors { throw StackFileErrors(diagnostics) }
    }

    var warnings: [Diagnostic] { diagnostics.filter { $0.severity == .warning } }
}
