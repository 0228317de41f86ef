import Compose
import SwarmClient
import SwarmCore
import SwarmModel

/// One deployment under way: does what a plan says, in its order, and keeps account of what it has done.
struct StackDeployment {
    /// Requests for services at the same time.
    static let requestsMax = 8
    /// How often an update is sent again because the engine wrote to the service in between.
    static let attemptsMax = 5
    /// How often services are looked at.
    static let pollMilliseconds: Int64 = 200
    static let timeoutStandard = "10m"
    /// As Docker's client: how long tasks must stay as they are where the file says nothing.
    static let monitorNanoseconds: Int64 = 5_000_000_000

    static let flags: [Flag] = [
        Flag(
            "detach", short: "d", .bool, "Exit without waiting for the services to become what is asked",
            default: "true"),
        Flag("wait", .bool, "Wait until the services are what is asked; as --detach=false"),
        Flag(
            "timeout", .positiveDuration, "How long waiting may take in all; 0 for no limit",
            default: timeoutStandard),
        Flag("quiet", short: "q", .bool, "Suppress progress output"),
    ]

    let intent: StackIntent
    let invocation: Invocation
    private var account = StackAccount()
    private var secretIDs: [String: ObjectID]
    private var configIDs: [String: ObjectID]
    private var display: ProgressDisplay
    private let deadline: Instant?

    init(_ intent: StackIntent, _ invocation: Invocation) throws {
        (self.intent, self.invocation) = (intent, invocation)
        let state = intent.snapshot.state
        secretIDs = Dictionary(state.secrets.map { ($0.spec.name, $0.id) }) { first, _ in first }
        configIDs = Dictionary(state.configs.map { ($0.spec.name, $0.id) }) { first, _ in first }
        display = ProgressDisplay(
            isTerminal: invocation.console.isTerminal, columns: invocation.console.columns)
        deadline = try StackClock.deadline(invocation)
    }

    private var client: EngineClient { invocation.client }
    private var stack: String { intent.specs.namespace }
    private var waits: Bool {
        invocation.isOn("wait") || invocation.flags.isSet("detach") && !invocation.isOn("detach")
    }

    /// - Throws: `CommandFailure` that says what was done and what was not.
    mutating func run() async throws {
        do {
            try await createBases()
            try await record()
            let first = Set(intent.plan.removedFirst(from: intent.snapshot.state))
            try await prune { $0.kind == .service && first.contains($0.name) }
            try await rollOut()
            try await prune { $0.kind != .service || !first.contains($0.name) }
        } catch let failure as CommandFailure {
            throw CommandFailure(account.words(stack, failure.message), status: failure.status)
        } catch let error as SwarmError {
            throw CommandFailure(account.words(stack, error.description), status: 1)
        }
        try await StackCleanup.run(stack, client)
    }

    // MARK: Networks, secrets and configs

    private mutating func createBases() async throws {
        for change in intent.plan.changes where change.kind != .service {
            let name = change.object ?? change.name
            switch change.action {
            case .create, .replace:
                say("Creating \(change.kind.rawValue) \(name)")
                account.current = "\(change.kind.rawValue) \(name)"
                try await create(change.kind, name)
            case .update:
                say("Updating \(change.kind.rawValue) \(name)")
                account.current = "\(change.kind.rawValue) \(name)"
                try await relabel(change.kind, name)
            case .remove, .keep: continue
            }
            account.finish(change.action == .update ? "updated" : "created")
        }
    }

    private mutating func create(_ kind: StackPlan.Kind, _ name: String) async throws {
        switch kind {
        case .network:
            guard let spec = intent.specs.networks.first(where: { $0.name == name }) else { return }
            _ = try await client.create("/networks/create", body: spec.creation)
        case .secret:
            guard let spec = intent.specs.secrets.first(where: { $0.name == name }) else { return }
            secretIDs[name] = try await client.create("/secrets/create", body: spec).id
        case .config:
            guard let spec = intent.specs.configs.first(where: { $0.name == name }) else { return }
            configIDs[name] = try await client.create("/configs/create", body: spec).id
        case .service: return
        }
    }

    private func relabel(_ kind: StackPlan.Kind, _ name: String) async throws {
        if kind == .secret, let old = intent.snapshot.state.secrets.first(where: { $0.spec.name == name }) {
            try await client.updateSecret(old, labels: intent.specs.secrets.first { $0.name == name }?.labels)
        } else if kind == .config,
            let old = intent.snapshot.state.configs.first(where: { $0.spec.name == name })
        {
            try await client.updateConfig(old, labels: intent.specs.configs.first { $0.name == name }?.labels)
        }
    }

    // MARK: The revision

    /// Keeps what is deployed, before services change: what they were before stays deployable whatever happens next.
    private mutating func record() async throws {
        let last = intent.snapshot.revisions.last
        let revision = Revision((last?.revision.number ?? 0) + 1, of: intent.specs)
        if let last, intent.plan.isEmpty || last.revision.isSame(as: revision) { return }
        account.current = "revision \(revision.number)"
        try await RevisionKeeping.keep(revision, origin: intent.origin, invocation)
        account.revision = revision.number
        account.current = nil
    }

    // MARK: Services

    private mutating func rollOut() async throws {
        var rollout = StackRollout(intent.specs, intent.plan, over: intent.snapshot.state)
        var stableSince: Instant?
        let monitor = Duration.nanoseconds(intent.plan.monitorNanoseconds(standard: Self.monitorNanoseconds))
        Interrupt.watch()
        defer { Interrupt.ignore() }
        while true {
            let ready = rollout.next()
            if !ready.isEmpty {
                try await apply(ready, &rollout)
                continue
            }
            if rollout.isApplied && (!waits || rollout.hasFailed) { break }
            let services = try await StackObservation.observe(stack, client)
            rollout.receive(.observed(keyed(services)))
            show(rollout, services)
            guard !rollout.hasFailed else { continue }
            let now = StackClock.now
            if rollout.isSettled {
                stableSince = rollout.isStable ? stableSince ?? now : nil
                if let since = stableSince, now - since >= monitor { break }
            }
            if Interrupt.happened {
                guard rollout.waiting.isEmpty else {
                    throw unfinished("interrupted", rollout, StackStatus.interrupted)
                }
                invocation.console.print("Operation continuing in background.")
                invocation.console.print("Use `swarmctl stack ps \(stack)` to check progress.")
                break
            }
            if let deadline, now >= deadline {
                let time = invocation.flag("timeout") ?? Self.timeoutStandard
                throw unfinished(
                    "the time given with --timeout (\(time)) is over", rollout, StackStatus.timedOut)
            }
            try await Task.sleep(for: .milliseconds(Self.pollMilliseconds))
        }
        guard rollout.hasFailed else { return }
        let failures = rollout.failures.map { "service \(stack)_\($0.key): \($0.reason)" }
        let waiting = rollout.waiting.map {
            "service \(stack)_\($0.key) was not begun: it waits for \($0.reason)"
        }
        let isRefused = !account.refused.isEmpty
        throw CommandFailure(
            (failures + waiting).joined(separator: "\n"), status: isRefused ? 1 : StackStatus.unsettled)
    }

    private func unfinished(_ reason: String, _ rollout: StackRollout, _ status: Int32) -> CommandFailure {
        var lines = [reason]
        lines += rollout.rolling.map { "service \(stack)_\($0) is not yet what was asked" }
        lines += rollout.waiting.map { "service \(stack)_\($0.key) was not begun: it waits for \($0.reason)" }
        return CommandFailure(lines.joined(separator: "\n"), status: status)
    }

    private func keyed(_ services: [String: ServiceProgress]) -> [String: ServiceProgress] {
        var result: [String: ServiceProgress] = [:]
        for service in intent.specs.services { result[service.key] = services[service.spec.name] }
        return result
    }

    private mutating func show(_ rollout: StackRollout, _ services: [String: ServiceProgress]) {
        guard !invocation.isOn("quiet") else { return }
        var lines: [ProgressLine] = []
        for service in intent.specs.services {
            guard let stage = rollout.stage(service.key), let progress = services[service.spec.name] else {
                continue
            }
            let isOurs = intent.plan.changes.contains { $0.kind == .service && $0.name == service.spec.name }
            guard isOurs, stage == .rolling || stage == .settled else { continue }
            lines.append(ProgressLine(service.key, "\(service.spec.name): \(progress.words)"))
        }
        for (key, reason) in rollout.waiting where reason != StackRollout.turn {
            lines.append(ProgressLine(key, "\(stack)_\(key): waits for \(reason)"))
        }
        invocation.console.write(display.show(lines))
        invocation.console.flush()
    }

    // MARK: One service

    private mutating func apply(_ keys: [String], _ rollout: inout StackRollout) async throws {
        var rest = keys[...]
        while !rest.isEmpty {
            let batch = rest.prefix(Self.requestsMax)
            rest = rest.dropFirst(batch.count)
            let requests = try batch.map { try request($0) }
            for request in requests { say(request.line) }
            let outcomes = await withTaskGroup(of: (String, String?).self) { group in
                for request in requests { group.addTask { (request.key, await request.send()) } }
                return await group.reduce(into: [String: String?]()) { $0[$1.0] = $1.1 }
            }
            for request in requests {
                if let reason = outcomes[request.key] ?? nil {
                    account.refused.append("service \(request.name)")
                    rollout.receive(.refused(request.key, reason))
                } else {
                    account.current = "service \(request.name)"
                    account.finish(
                        request.old == nil ? "created" : request.isReplaced ? "replaced" : "updated")
                    rollout.receive(.applied(request.key))
                }
            }
            // What stands behind a refusal is not asked for any more; its stage says so.
            guard !rollout.hasFailed else {
                for key in rest {
                    rollout.receive(.refused(key, "was not asked for after the refusal before it"))
                }
                return
            }
        }
    }

    private func request(_ key: String) throws -> StackRequest {
        guard let service = intent.specs.services.first(where: { $0.key == key }),
            let wanted = intent.plan.services[service.spec.name]
        else { throw SwarmError(.internal, "the plan knows no service \(key)") }
        let old = intent.snapshot.state.services.first { $0.spec.name == service.spec.name }
        let (spec, missing) = wanted.referring(toSecrets: secretIDs, configs: configIDs)
        guard missing.isEmpty else { throw SwarmError(.notFound, missing.joined(separator: "\n")) }
        let isReplaced = intent.plan.changes.contains {
            $0.kind == .service && $0.name == service.spec.name && $0.action == .replace
        }
        let image = spec.taskTemplate.containerSpec?.image ?? ""
        let auth = invocation.isOn("with-registry-auth") ? RegistryLogin.header(for: image) : nil
        return StackRequest(
            key: key, spec: spec, old: old, isReplaced: isReplaced, auth: auth, client: client,
            console: invocation.console)
    }

    // MARK: What no file names

    private mutating func prune(_ isDue: (StackPlan.Change) -> Bool) async throws {
        for change in intent.plan.changes where change.action == .remove && isDue(change) {
            say("Removing \(change.kind.rawValue) \(change.name)")
            account.current = "\(change.kind.rawValue) \(change.name)"
            do throws(SwarmError) {
                try await client.remove(change.kind.rawValue, change.name)
            } catch {
                // Somebody else has removed it, which is what was asked for.
                guard error.code == .notFound else { throw error }
            }
            account.finish("removed")
        }
    }

    private func say(_ line: String) {
        invocation.console.print(line)
        invocation.console.flush()
    }
}

/// One service's request, by itself so that several can be on their way.
struct StackRequest: Sendable {
    var key: String
    var spec: ServiceSpec
    var old: Service?
    var isReplaced: Bool
    var auth: String?
    var client: EngineClient
    var console: Console

    var name: String { spec.name }
    var line: String {
        guard let old else { return "Creating service \(name)" }
        return isReplaced
            ? "Replacing service \(name) (id: \(old.id))" : "Updating service \(name) (id: \(old.id))"
    }

    /// Why the engine refused; nil when it did not.
    func send() async -> String? {
        do {
            if isReplaced { try await client.removeService(old?.id ?? name) }
            if let old, !isReplaced {
                try await update(old)
            } else {
                for warning in try await client.createService(spec, registryAuth: auth).warnings {
                    console.complain(warning)
                }
            }
            return nil
        } catch {
            return error.description
        }
    }

    private func update(_ old: Service) async throws(SwarmError) {
        var seen = old
        for attempt in 1... {
            do throws(SwarmError) {
                let query: Query = auth == nil ? ["registryAuthFrom": "spec"] : [:]
                for warning in try await client.updateService(
                    seen, to: spec, query: query, registryAuth: auth)
                {
                    console.complain(warning)
                }
                return
            } catch {
                guard error.message.contains("out of sequence"), attempt < StackDeployment.attemptsMax else {
                    throw error
                }
                let now = try await client.service(old.id)
                // The engine notes how an update goes in the same object; a change by a user is another matter.
                guard now.spec == old.spec else {
                    throw SwarmError(
                        .conflict, "somebody else has changed it meanwhile; deploy again to go over that")
                }
                seen = now
            }
        }
    }
}
