import SwarmCore
import SwarmModel
import Testing

@testable import Compose

@Suite struct RolloutTests {
    typealias Condition = StackService.Dependency.Condition

    private func step(
        _ key: String, changed: Bool = true, alone: Bool = false, after: [(String, Condition)] = [],
        required: Bool = true
    ) -> StackRollout.Step {
        StackRollout.Step(
            key: key, isChanged: changed, goesAlone: alone,
            dependencies: after.map {
                StackService.Dependency(service: $0.0, condition: $0.1, restarts: false, isRequired: required)
            })
    }

    private static let runs: ServiceProgress = {
        var progress = ServiceProgress()
        (progress.isRunning, progress.isSettled) = (true, true)
        return progress
    }()
    private static let ran: ServiceProgress = {
        var progress = runs
        (progress.isCompleted, progress.isRunning) = (true, true)
        return progress
    }()

    @Test func `a service begins once what it depends on is as it wants it`() {
        var rollout = StackRollout([
            step("db"), step("migrate", after: [("db", .healthy)]),
            step("web", after: [("db", .started), ("migrate", .completed)]),
        ])
        #expect(rollout.next() == ["db"])
        #expect(rollout.next() == [])
        // What was seen before the engine took the change says nothing of it.
        rollout.receive(.observed(["db": Self.runs]))
        #expect(rollout.next() == [])
        rollout.receive(.applied("db"))
        #expect(rollout.next() == [])
        rollout.receive(.observed(["db": ServiceProgress()]))
        #expect(rollout.next() == [])
        #expect(rollout.waiting.first?.reason == "db to be healthy")
        rollout.receive(.observed(["db": Self.runs]))
        #expect(rollout.next() == ["migrate"])
        rollout.receive(.applied("migrate"))
        rollout.receive(.observed(["db": Self.runs, "migrate": Self.runs]))
        #expect(rollout.next() == [])
        rollout.receive(.observed(["db": Self.runs, "migrate": Self.ran]))
        #expect(rollout.next() == ["web"])
        #expect(!rollout.isApplied)
        rollout.receive(.applied("web"))
        #expect(rollout.isApplied && !rollout.isSettled)
        rollout.receive(.observed(["db": Self.runs, "migrate": Self.ran, "web": Self.runs]))
        #expect(rollout.isSettled && rollout.isStable)
        rollout.receive(.observed(["db": Self.runs, "migrate": Self.ran, "web": ServiceProgress()]))
        #expect(rollout.isSettled && !rollout.isStable)
    }

    @Test func `without dependencies all begin at once`() {
        var rollout = StackRollout([step("a"), step("b"), step("c", changed: false)])
        #expect(rollout.next() == ["a", "b"])
        rollout.receive(.applied("a"))
        rollout.receive(.applied("b"))
        #expect(rollout.isApplied)
    }

    @Test func `an unchanged service is looked at, and its old troubles stop nobody else`() {
        var rollout = StackRollout([
            step("db", changed: false), step("web", after: [("db", .started)]), step("other"),
        ])
        #expect(rollout.next() == ["other"])
        var broken = ServiceProgress()
        broken.failure = "its update is paused"
        rollout.receive(.observed(["db": broken]))
        #expect(!rollout.hasFailed)
        #expect(rollout.next() == [])
        broken.isRunning = true
        rollout.receive(.observed(["db": broken]))
        #expect(rollout.next() == ["web"])
    }

    @Test func `services that restart for a file alone go one after the other`() {
        var rollout = StackRollout([step("a", alone: true), step("b", alone: true), step("c")])
        #expect(rollout.next() == ["a", "c"])
        rollout.receive(.applied("a"))
        rollout.receive(.applied("c"))
        #expect(rollout.next() == [])
        #expect(rollout.waiting.map(\.reason) == ["its turn"])
        rollout.receive(.observed(["a": Self.runs]))
        #expect(rollout.next() == ["b"])
    }

    @Test func `a refusal stops what has not begun`() {
        var rollout = StackRollout([step("a"), step("b"), step("c", after: [("a", .started)])])
        #expect(rollout.next() == ["a", "b"])
        rollout.receive(.refused("a", "no"))
        #expect(!rollout.isApplied, "b is on its way")
        rollout.receive(.applied("b"))
        #expect(rollout.next() == [] && rollout.isApplied && rollout.hasFailed)
        #expect(rollout.failures.map(\.key) == ["a"] && rollout.waiting.map(\.key) == ["c"])
    }

    @Test func `services are removed dependents first, cycles at once`() throws {
        let text = """
            services:
              db: {image: x}
              cache: {image: x}
              web: {image: x, depends_on: [db, cache]}
              edge: {image: x, depends_on: [web]}
            """
        let revision = Revision(1, of: try specs(text))
        let names = ["st_cache", "st_db", "st_edge", "st_unknown", "st_web"]
        #expect(
            StackRemovalOrder.rounds(names, revision) == [
                ["st_edge", "st_unknown"], ["st_web"], ["st_cache", "st_db"],
            ])
        #expect(StackRemovalOrder.rounds(names, nil) == [names])
        let cycle = "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}"
        #expect(
            StackRemovalOrder.rounds(["st_a", "st_b"], Revision(1, of: try specs(cycle, .docker))).count == 1)
    }

    // MARK: Progress

    private func service(_ mode: ServiceMode, update: String? = nil, condition: String? = nil) -> Service {
        var spec = ServiceSpec(name: "s", mode: mode)
        if let condition { spec.taskTemplate.restartPolicy = RestartPolicy(condition: condition) }
        var service = Service(id: "s", spec: spec)
        service.updateStatus = update.map { UpdateStatus(state: $0, message: "because") }
        if spec.isJob { service.jobStatus = JobStatus(jobIteration: ObjectVersion(index: 1)) }
        return service
    }

    private func task(_ id: String, _ state: TaskState, desired: TaskState = .running, node: String = "n")
        -> SwarmTask
    {
        var task = SwarmTask(id: id, serviceID: "s", nodeID: node, desiredState: desired)
        task.status.state = state
        task.jobIteration = ObjectVersion(index: 1)
        return task
    }

    private func progress(_ service: Service, _ tasks: [SwarmTask], current: Set<String>? = nil)
        -> ServiceProgress
    {
        ServiceProgress(service, tasks: tasks, current: current ?? Set(tasks.map(\.id)), lost: ["lost"])
    }

    @Test func `a replicated service runs when as many tasks of its spec as it wants run on nodes that live`()
    {
        let two = service(ServiceMode(replicated: ReplicatedMode(replicas: 2)))
        #expect(!progress(two, [task("1", .running)]).isRunning)
        #expect(progress(two, [task("1", .running), task("2", .running)]).isSettled)
        #expect(!progress(two, [task("1", .running), task("2", .running)], current: ["1"]).isRunning)
        #expect(!progress(two, [task("1", .running), task("2", .running, node: "lost")]).isRunning)
        #expect(progress(two, [task("1", .running)]).words == "1/2 running")
        let none = service(ServiceMode(replicated: ReplicatedMode(replicas: 0)))
        #expect(progress(none, []).isSettled)
        let updating = service(ServiceMode(replicated: ReplicatedMode(replicas: 1)), update: "updating")
        #expect(!progress(updating, [task("1", .running)]).isSettled)
        let paused = service(ServiceMode(replicated: ReplicatedMode(replicas: 1)), update: "paused")
        #expect(progress(paused, [task("1", .running)]).failure == "its update is paused: because")
    }

    @Test func `a global service runs when all tasks that were made run from its spec`() {
        let global = service(ServiceMode(global: GlobalMode()))
        #expect(!progress(global, []).isRunning)
        #expect(!progress(global, [task("1", .running), task("2", .starting)]).isRunning)
        #expect(!progress(global, [task("1", .running), task("2", .running)], current: ["1"]).isRunning)
        #expect(progress(global, [task("1", .running), task("2", .running)]).isSettled)
    }

    @Test func `a job settles when it has run, and fails when it is not tried again`() {
        let mode = ServiceMode(replicatedJob: ReplicatedJobMode(maxConcurrent: 1, totalCompletions: 1))
        let job = service(mode, condition: "none")
        #expect(progress(job, [task("1", .running, desired: .complete)]).isRunning)
        #expect(!progress(job, [task("1", .running, desired: .complete)]).isSettled)
        #expect(progress(job, [task("1", .complete, desired: .complete)]).isCompleted)
        #expect(progress(job, [task("1", .failed, desired: .complete)]).failure != nil)
        let persistent = service(mode, condition: "on-failure")
        #expect(progress(persistent, [task("1", .failed, desired: .complete)]).failure == nil)
    }

    @Test func `a one-shot service completes`() {
        let once = service(ServiceMode(replicated: ReplicatedMode(replicas: 1)), condition: "none")
        let ended = progress(once, [task("1", .complete, desired: .shutdown)])
        #expect(ended.isCompleted && ended.isSettled && ended.failure == nil)
        #expect(progress(once, [task("1", .failed, desired: .shutdown)]).failure != nil)
    }

    @Test func `restart of a dependency restarts what asks for it`() throws {
        let text = """
            services:
              db: {image: "x:1"}
              web: {image: y, depends_on: {db: {condition: service_started, restart: true}}}
              other: {image: y, depends_on: [db]}
            """
        let state = VersionTests.deployed(try specs(text))
        let plan = StackPlan(try specs(text.replacing("x:1", with: "x:2")), over: state)
        #expect(plan.touchedServices == ["st_db", "st_web"])
        #expect(plan.services["st_web"]?.taskTemplate.forceUpdate == 1)
    }

    @Test func `how long tasks must stay is the longest asked for, and nothing for jobs`() throws {
        let text = """
            services:
              web: {image: x, deploy: {update_config: {monitor: 2s}}}
              job: {image: x, deploy: {mode: replicated-job}}
            """
        let plan = StackPlan(try specs(text), over: StackState())
        #expect(plan.monitorNanoseconds(standard: 5) == 2_000_000_000)
        let job = StackPlan(
            try specs("services: {job: {image: x, deploy: {mode: replicated-job}}}"), over: StackState())
        #expect(job.monitorNanoseconds(standard: 5) == 0)
    }
}
