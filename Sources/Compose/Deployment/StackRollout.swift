import SwarmModel

/// In which order the services of a stack are created and updated: what is seen of them in, what to do out.
///
/// A service is touched once all that it depends on is as it wants it. Services whose secrets or configs have new
/// versions go one after the other, each when the one before has settled.
package struct StackRollout: Sendable {
    package struct Step: Sendable, Equatable {
        /// The file's name of the service.
        package var key: String
        /// Whether there is anything to do; if not, it is only looked at for the sake of others.
        package var isChanged: Bool
        /// Whether no other such service may be on its way at the same time.
        package var goesAlone: Bool
        package var dependencies: [StackService.Dependency]

        package init(
            key: String, isChanged: Bool, goesAlone: Bool = false,
            dependencies: [StackService.Dependency] = []
        ) {
            (self.key, self.isChanged, self.goesAlone) = (key, isChanged, goesAlone)
            self.dependencies = dependencies
        }
    }

    package enum Event: Sendable, Equatable {
        /// The engine has taken the change.
        case applied(String)
        /// The engine has refused the change.
        case refused(String, String)
        /// How the services are, by key; those that are not there are left out.
        case observed([String: ServiceProgress])
    }

    /// Where a service is.
    package enum Stage: Sendable, Equatable {
        /// For what it depends on, or for its turn.
        case waiting
        /// The engine has been asked.
        case applying
        /// The engine has taken it; tasks are on their way.
        case rolling
        /// As it was asked for.
        case settled
        case failed(String)
    }

    private var steps: [Step]
    private var stages: [String: Stage] = [:]
    private var progress: [String: ServiceProgress] = [:]

    /// - Parameter steps: all services of the stack, in an order in which each comes after those it depends on.
    package init(_ steps: [Step]) {
        self.steps = steps
        for step in steps { stages[step.key] = step.isChanged ? .waiting : .rolling }
    }

    package func stage(_ key: String) -> Stage? { stages[key] }

    /// Takes what has happened; ask `next()` afterwards.
    package mutating func receive(_ event: Event) {
        switch event {
        case .applied(let key):
            guard stages[key] == .applying else { return }
            stages[key] = .rolling
            // What was seen before was another spec's.
            progress[key] = nil
        case .refused(let key, let reason):
            guard stages[key] == .applying else { return }
            stages[key] = .failed(reason)
        case .observed(let seen):
            for step in steps {
                guard let now = seen[step.key], stages[step.key] == .rolling || stages[step.key] == .settled
                else {
                    continue
                }
                progress[step.key] = now
                if let reason = now.failure {
                    // What went wrong with others' doing is told by whoever waits for it.
                    if step.isChanged { stages[step.key] = .failed(reason) }
                } else if now.isSettled {
                    stages[step.key] = .settled
                }
            }
        }
    }

    /// The services that may be touched now; each is told once.
    package mutating func next() -> [String] {
        // A refusal stops what has not begun: the file, or the swarm, is not as was thought.
        guard !hasFailed else { return [] }
        var alone = steps.contains { $0.goesAlone && $0.isChanged && isUnderWay($0.key) }
        var ready: [String] = []
        for step in steps where stages[step.key] == .waiting {
            if step.goesAlone && alone { continue }
            guard step.dependencies.allSatisfy(isSatisfied) else { continue }
            if step.goesAlone { alone = true }
            stages[step.key] = .applying
            ready.append(step.key)
        }
        return ready
    }

    /// Whether the engine has taken every change, or no more can be asked of it.
    package var isApplied: Bool {
        let isBusy = steps.contains { stages[$0.key] == .applying }
        return !isBusy && (hasFailed || !steps.contains { stages[$0.key] == .waiting })
    }

    /// Whether, beyond that, every changed service is as asked for, or has failed.
    package var isSettled: Bool {
        isApplied && !steps.contains { $0.isChanged && stages[$0.key] == .rolling }
    }

    /// Whether all that has settled is so still: a task may run for a moment and fail.
    package var isStable: Bool {
        steps.allSatisfy {
            !$0.isChanged || stages[$0.key] != .settled || progress[$0.key]?.isSettled == true
        }
    }

    package var hasFailed: Bool {
        stages.values.contains { if case .failed = $0 { true } else { false } }
    }

    /// The services that failed, with reasons, in their order.
    package var failures: [(key: String, reason: String)] {
        steps.compactMap { step in
            if case .failed(let reason) = stages[step.key] { (step.key, reason) } else { nil }
        }
    }

    /// What a service waits for that depends on nothing.
    package static let turn = "its turn"

    /// The services that were not touched, each with what it waits for.
    package var waiting: [(key: String, reason: String)] {
        steps.filter { stages[$0.key] == .waiting }.map { step in
            let open = step.dependencies.filter { !isSatisfied($0) }.map {
                "\($0.service) to be \($0.condition.words)"
            }
            return (step.key, open.isEmpty ? Self.turn : open.joined(separator: ", "))
        }
    }

    /// The services whose tasks are on their way.
    package var rolling: [String] { steps.filter { $0.isChanged && stages[$0.key] == .rolling }.map(\.key) }

    private func isUnderWay(_ key: String) -> Bool { stages[key] == .applying || stages[key] == .rolling }

    private func isSatisfied(_ dependency: StackService.Dependency) -> Bool {
        // What is in no file is not ours to wait for; loading refuses it where it is required.
        guard let stage = stages[dependency.service] else { return true }
        switch stage {
        case .waiting, .applying: return false
        case .failed: return !dependency.isRequired
        case .rolling, .settled:
            guard let seen = progress[dependency.service] else { return false }
            return switch dependency.condition {
            // A job is not there to stay: having run is having started.
            case .started, .healthy: seen.isRunning || seen.isCompleted
            case .completed: seen.isCompleted
            }
        }
    }
}

extension StackService.Dependency.Condition {
    package var words: String {
        switch self {
        case .started: "started"
        case .healthy: "healthy"
        case .completed: "completed"
        }
    }
}

extension StackRollout {
    /// The steps that a plan's services make.
    package init(_ specs: StackSpecs, _ plan: StackPlan, over state: StackState) {
        let touched = Set(plan.touchedServices)
        let old = Dictionary(state.services.map { ($0.spec.name, $0.spec) }) { first, _ in first }
        self.init(
            specs.servicesInOrder.map { service in
                let before = old[service.spec.name]
                return Step(
                    key: service.key, isChanged: touched.contains(service.spec.name),
                    goesAlone: before.map { $0.fileNames != plan.services[service.spec.name]?.fileNames }
                        ?? false,
                    dependencies: service.dependencies)
            })
    }
}

extension StackPlan {
    /// The names of the services that are created, updated or replaced.
    package var touchedServices: [String] {
        changes.filter { $0.kind == .service && [.create, .update, .replace].contains($0.action) }.map(\.name)
    }

    /// The services that are removed and hold a published port which one that stays or comes wants: they must go
    /// before, where others go last.
    ///
    /// - Parameter state: what the plan was made over.
    package func removedFirst(from state: StackState) -> [String] {
        func ports(_ spec: ServiceSpec) -> Set<String> {
            Set(
                (spec.endpointSpec?.ports ?? []).filter { ($0.publishedPort ?? 0) != 0 }.map {
                    "\($0.publishedPort ?? 0)/\($0.proto ?? "tcp")"
                })
        }
        let wanted = services.values.reduce(into: Set<String>()) { $0.formUnion(ports($1)) }
        let removed = Set(changes.filter { $0.kind == .service && $0.action == .remove }.map(\.name))
        return state.services.map(\.spec).filter {
            removed.contains($0.name) && !ports($0).isDisjoint(with: wanted)
        }
        .map(\.name).sorted()
    }

    /// How long tasks must stay as they are before they count, in nanoseconds: the longest that a created service asks
    /// for. Zero when there is none but jobs, which end; what is updated the engine watches itself for as long.
    ///
    /// - Parameter standard: for services that ask for nothing.
    package func monitorNanoseconds(standard: Int64) -> Int64 {
        let created = changes.filter { $0.kind == .service && [.create, .replace].contains($0.action) }
        return created.compactMap { services[$0.name] }.filter { !$0.isJob }.map { spec in
            let asked = spec.updateConfig?.monitor ?? 0
            return asked > 0 ? asked : standard
        }.max() ?? 0
    }
}
