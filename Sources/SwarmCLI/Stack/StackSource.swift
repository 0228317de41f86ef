import Compose
import FoundationEssentials
import SwarmClient
import SwarmCore

/// The flags that say which files make a stack, and what they make.
enum StackSource {
    static let flags: [Flag] = [
        Flag(
            "compose-file", short: "c", .list("strings"),
            "Path to a Compose file, or \"-\" to read from stdin"
        ).offering(.files),
        Flag("profile", .list("strings"), "Services of these profiles are part of the stack"),
        Flag("strict", .bool, "Take and refuse exactly what the Docker client does"),
        Flag("allow-outside", .bool, "Let include and extends name files outside the project's directory"),
    ]

    /// The flags' files, read and merged.
    static func project(_ invocation: Invocation, interpolates: Bool = true) throws -> Project {
        let names = words(invocation.list("compose-file"))
        var options = StackOptions(
            workingDirectory: FileManager.default.currentDirectoryPath,
            environment: invocation.environment, interpolates: interpolates)
        options.dialect = invocation.isOn("strict") ? .docker : .specification
        options.allowsOutsideFiles = invocation.isOn("allow-outside")
        if let home = invocation.environment["HOME"], !home.isEmpty { options.home = home }
        let profiles = words(invocation.list("profile"))
        if !profiles.isEmpty { options.profiles = Set(profiles) }
        do throws(StackFileErrors) {
            return try StackLoader.load(names, options, from: StackDisk())
        } catch {
            throw failure(error, options.dialect)
        }
    }

    /// The project as the swarm's objects, its warnings told.
    static func specs(_ project: Project, stack: String, _ invocation: Invocation) throws -> StackSpecs {
        let specs: StackSpecs
        do throws(StackFileErrors) {
            specs = try project.specs(stack: stack, from: StackDisk())
        } catch {
            throw failure(error, project.dialect)
        }
        for warning in project.warnings + specs.warnings { invocation.console.complain(warning.description) }
        return specs
    }

    /// The stack's name: the argument, else what the file says.
    static func name(_ project: Project, _ invocation: Invocation) throws -> String {
        if let name = invocation.arguments.first { return name }
        guard let name = project.name, !name.isEmpty else {
            throw CommandFailure(
                "the stack has no name: give one after the flags, or write `name:` at the top of the file")
        }
        return name
    }

    private static func failure(_ errors: StackFileErrors, _ dialect: Dialect) -> CommandFailure {
        guard dialect == .docker else { return CommandFailure(errors.description) }
        return CommandFailure(errors.diagnostics.map(\.dockerText).joined(separator: "\n"))
    }

    /// Both `-c a -c b` and `-c a,b`.
    private static func words(_ texts: [String]) -> [String] {
        texts.flatMap { $0.split(separator: ",").map(String.init) }
    }
}
