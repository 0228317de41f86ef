import Compose
import SwarmClient
import SwarmCore
import SwarmModel

/// What a deployment is to do, found out without changing anything.
struct StackIntent {
    /// With secrets and configs under their objects' names and images as they are to be sent.
    var specs: StackSpecs
    var snapshot: StackSnapshot
    var plan: StackPlan
    /// What `stack history` says it came from.
    var origin: String

    static let flags: [Flag] = [
        Flag(
            "resolve-image", resolution,
            "Query the registry to resolve image digest and supported platforms (\"always\", \"changed\", \"never\")",
            default: "\"always\""),
        Flag("with-registry-auth", .bool, "Send registry authentication details to Swarm agents"),
        Flag("prune", .bool, "Remove what the files no longer name"),
    ]

    private static let resolution = FlagKind("string") { text throws(SwarmError) in
        guard ["always", "changed", "never"].contains(text) else {
            throw SwarmError(.invalidArgument, "Invalid option \(text) for flag --resolve-image")
        }
    }

    /// What deploying the flags' files would do.
    static func deploying(_ invocation: Invocation) async throws -> StackIntent {
        let project = try StackSource.project(invocation)
        let stack = try StackSource.name(project, invocation)
        let specs = try StackSource.specs(project, stack: stack, invocation)
        try await requireManager(invocation)
        let snapshot = try await StackSnapshot.read(specs.namespace, invocation.client)
        let same = try await SecretComparison.same(specs, snapshot.state, invocation)
        var resolved = StackVersions.resolve(specs, over: snapshot.state, sameSecrets: same)
        try await StackImages.pin(&resolved, over: snapshot.state, invocation)
        return try make(
            resolved, snapshot, prune: invocation.isOn("prune") ? .everything : .nothing, origin: "deploy")
    }

    static func make(
        _ specs: StackSpecs, _ snapshot: StackSnapshot, prune: StackPlan.Prune, origin: String
    ) throws -> StackIntent {
        try checkExternals(specs, snapshot.state)
        let needs = StackNeeds(services: [], tasks: [], revisions: snapshot.revisions.map(\.revision))
        let plan = StackPlan(specs, over: snapshot.state, prune: prune, needs: needs)
        return StackIntent(specs: specs, snapshot: snapshot, plan: plan, origin: origin)
    }

    static func requireManager(_ invocation: Invocation) async throws {
        guard try await invocation.client.info().swarm?.controlAvailable != true else { return }
        throw CommandFailure(
            "this node is not a swarm manager. Use \"swarmctl swarm init\" or \"swarmctl swarm join\" to connect this "
                + "node to swarm and try again")
    }

    /// Everything that must be there already and is not, at once.
    private static func checkExternals(_ specs: StackSpecs, _ state: StackState) throws {
        let networks = Set(state.networks.map(\.spec.name))
        let predefined: Set = ["host", "bridge", "none", "default"]
        var complaints = specs.externalNetworks.filter { !networks.contains($0) && !predefined.contains($0) }
            .map {
                "network \"\($0)\" is declared as external, but could not be found. "
                    + "You need to create a swarm-scoped network before the stack is deployed"
            }
        let secrets = Set(state.secrets.map(\.spec.name))
        complaints += specs.externalSecrets.filter { !secrets.contains($0) }.map { "secret not found: \($0)" }
        let configs = Set(state.configs.map(\.spec.name))
        complaints += specs.externalConfigs.filter { !configs.contains($0) }.map { "config not found: \($0)" }
        guard complaints.isEmpty else { throw CommandFailure(complaints.joined(separator: "\n")) }
    }

    /// Prints the plan. Fails with status 2, and no words, when it has anything to do.
    func show(_ invocation: Invocation) throws {
        if invocation.flag("format") == "json" {
            invocation.console.print(try JSONValue(encoding: plan).compact)
        } else {
            for line in plan.lines { invocation.console.print(line) }
            if plan.isEmpty { invocation.console.print("Nothing to change in stack \(plan.stack).") }
        }
        if !plan.isEmpty { throw CommandFailure("", status: StackStatus.changes) }
    }

    static let formatFlag = Flag(
        "format",
        FlagKind("string") { text throws(SwarmError) in
            guard ["json", "text"].contains(text) else {
                throw SwarmError(.invalidArgument, "a plan is printed as \"text\" or \"json\"")
            }
        }, "Print the plan as \"text\" or \"json\"", default: "\"text\"")
}

/// How `stack` verbs end when not with success; 1 is what the engine or the file refused.
enum StackStatus {
    /// `stack plan`: there is something to do.
    static let changes: Int32 = 2
    /// Everything was asked for, and a service did not become what was asked.
    static let unsettled: Int32 = 3
    /// `--timeout` was over.
    static let timedOut: Int32 = 4
    /// Ctrl-C while services had not been begun.
    static let interrupted: Int32 = 130
}

/// Records which images tags mean now, one question for each image however many services have it.
enum StackImages {
    /// Questions to registries at the same time.
    private static let questionsMax = 8

    static func pin(_ specs: inout StackSpecs, over state: StackState, _ invocation: Invocation) async throws
    {
        let when = invocation.flag("resolve-image") ?? "always"
        let old = Dictionary(
            state.services.map { ($0.spec.name, $0.spec.labels?[StackLabel.image]) },
            uniquingKeysWith: { first, _ in first })
        var wanted: Set<String> = []
        for index in specs.services.indices {
            ImagePinning.complete(&specs.services[index].spec.taskTemplate)
            let spec = specs.services[index].spec
            let isChanged = old[spec.name] != spec.labels?[StackLabel.image]
            guard when == "always" || when == "changed" && isChanged,
                let image = spec.taskTemplate.containerSpec?.image,
                ImageReference(image)?.digest == nil
            else { continue }
            wanted.insert(image)
        }
        let found = try await ask(wanted.sorted(), invocation)
        for index in specs.services.indices {
            var task = specs.services[index].spec.taskTemplate
            guard let image = task.containerSpec?.image, let pinned = found[image], let digest = pinned.digest
            else {
                continue
            }
            task.containerSpec?.image = "\(image)@\(digest)"
            // What the file says of platforms is not for the registry to change.
            if task.placement?.platforms == nil, !pinned.platforms.isEmpty {
                var placement = task.placement ?? Placement()
                placement.platforms = pinned.platforms
                task.placement = placement
            }
            specs.services[index].spec.taskTemplate = task
        }
        for image in wanted.sorted() where found[image]?.digest == nil && !invocation.isOn("quiet") {
            invocation.console.complain(ImagePinning.warning(image))
        }
    }

    private struct Answer: Sendable {
        var digest: String?
        var platforms: [Platform] = []
    }

    private static func ask(_ images: [String], _ invocation: Invocation) async throws -> [String: Answer] {
        try await withThrowingTaskGroup(of: (String, Answer).self) { group in
            var answers: [String: Answer] = [:]
            for (index, image) in images.enumerated() {
                if index >= questionsMax, let (image, answer) = try await group.next() {
                    answers[image] = answer
                }
                group.addTask {
                    let auth = invocation.isOn("with-registry-auth") ? RegistryLogin.header(for: image) : nil
                    do throws(SwarmError) {
                        let found = try await invocation.client.distribution(image, registryAuth: auth)
                        let platforms = (found.platforms ?? []).map {
                            Platform(architecture: $0.architecture, os: $0.os)
                        }
                        return (
                            image,
                            Answer(
                                digest: found.descriptor.digest.flatMap { $0.isEmpty ? nil : $0 },
                                platforms: platforms)
                        )
                    } catch {
                        guard !error.isUnreachable else { throw error }
                        return (image, Answer())
                    }
                }
            }
            for try await (image, answer) in group { answers[image] = answer }
            return answers
        }
    }
}
