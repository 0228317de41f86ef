import SwarmCore
import Testing

@testable import Compose

/// Loads texts as files of a project in /p.
func load(
    _ text: String, _ dialect: Dialect = .specification, environment: [String: String] = Fixtures.environment,
    profiles: Set<String>? = nil, files: [String: String] = [:], names: [String] = ["stack.yml"]
) throws(StackFileErrors) -> Project {
    var all = FilesInMemory(["/p/stack.yml": text])
    for (path, content) in files { all.files[path] = Array(content.utf8) }
    let options = StackOptions(
        dialect: dialect, workingDirectory: "/p", environment: environment, profiles: profiles)
    return try StackLoader.load(names, options, from: all)
}

/// The complaints about a text, one a line; empty when there are none.
func errors(
    _ text: String, _ dialect: Dialect = .specification, files: [String: String] = [:],
    names: [String] = ["stack.yml"]
) -> [String] {
    do throws(StackFileErrors) {
        _ = try load(text, dialect, files: files, names: names)
        return []
    } catch {
        return error.diagnostics.map(\.description)
    }
}

/// What a text brings about under the name `st`.
func specs(
    _ text: String, _ dialect: Dialect = .specification, files: [String: String] = [:]
) throws -> StackSpecs {
    var all = FilesInMemory()
    for (path, content) in files { all.files[path] = Array(content.utf8) }
    return try load(text, dialect, files: files).specs(stack: "st", from: all)
}
