import SwarmCore
import SwarmModel
import Testing

@testable import Execution

@Suite struct TaskMachineTests {
    static let time = Timestamp(nanoseconds: 1)

    static func machine(hasHealthCheck: Bool = false, desired: TaskState = .running) -> TaskMachine {
        var task = SwarmTask(id: "task")
        task.status.state = .assigned
        task.desiredState = desired
        return TaskMachine(task: task, containerID: "container", hasHealthCheck: hasHealthCheck)
    }

    static func running(hasHealthCheck: Bool = false) -> TaskMachine {
        var machine = machine(hasHealthCheck: hasHealthCheck)
        for event in [TaskEvent.begin, .imageReady, .networkAttached, .created, .started(pid: 7)] {
            _ = machine.receive(event, at: time)
        }
        return machine
    }

    @Test func `image and network come first and together, then the container, then its start`() {
        var machine = Self.machine()
        #expect(machine.receive(.begin, at: Self.time) == [.ensureImage, .attachNetwork])
        #expect(machine.receive(.networkAttached, at: Self.time) == [])
        #expect(machine.receive(.imageReady, at: Self.time) == [.createContainer])
        #expect(machine.receive(.created, at: Self.time) == [.startContainer])
        #expect(!machine.isServing)
        #expect(machine.receive(.started(pid: 7), at: Self.time) == [])
        #expect(machine.status.state == .running)
        #expect(machine.status.containerStatus?.pid == 7)
        #expect(machine.isServing)
    }

    @Test func `a task that must wait is prepared but not started`() {
        var machine = Self.machine(desired: .ready)
        for event in [TaskEvent.begin, .imageReady, .networkAttached] { _ = machine.receive(event, at: Self.time) }
        #expect(machine.receive(.created, at: Self.time) == [])
        #expect(machine.status.state == .ready)
        #expect(machine.receive(.desired(.running), at: Self.time) == [.startContainer])
    }

    @Test func `a health check that the image brings, or that answers before the start does, is heeded`() {
        var machine = Self.machine()
        for event in [TaskEvent.begin, .imageReady, .networkAttached, .healthCheckFound, .created] {
            _ = machine.receive(event, at: Self.time)
        }
        _ = machine.receive(.health(isHealthy: true, output: ""), at: Self.time)
        #expect(machine.status.state == .starting)
        _ = machine.receive(.started(pid: 7), at: Self.time)
        #expect(machine.status.state == .running)
    }

    @Test func `a task with a health check serves only once it is healthy`() {
        var machine = Self.running(hasHealthCheck: true)
        #expect(machine.status.state == .starting)
        #expect(!machine.isServing)
        _ = machine.receive(.health(isHealthy: true, output: ""), at: Self.time)
        #expect(machine.status.state == .running)
        #expect(machine.isServing)
        #expect(machine.receive(.health(isHealthy: false, output: "no"), at: Self.time) == [.withdraw])
        #expect(!machine.isServing)
        #expect(machine.status.isWithdrawn, "other nodes are told before the container has stopped")
        #expect(machine.receive(.withdrawn, at: Self.time) == [.stopContainer])
        _ = machine.receive(.exited(code: 137, oomKilled: false), at: Self.time)
        #expect(machine.status.state == .failed)
        #expect(machine.status.err?.contains("unhealthy container") == true)
    }

    @Test func `what was found unhealthy before the agent's restart is still stopped after it`() {
        var task = SwarmTask(id: "task")
        task.status = TaskStatus(state: .running, err: TaskStatus.unhealthy)
        var machine = TaskMachine(task: task, containerID: "container", hasHealthCheck: true)
        #expect(machine.receive(.adopted(.running(pid: 7, isHealthy: true)), at: Self.time) == [.withdraw])
        #expect(!machine.isServing)
    }

    @Test func `ports on the node itself are shown from the start on`() {
        var task = SwarmTask(id: "task")
        task.status.state = .assigned
        let ports = [
            PortConfig(proto: "tcp", targetPort: 80, publishedPort: 8088, publishMode: "host"),
            PortConfig(proto: "tcp", targetPort: 81, publishedPort: 8089, publishMode: "ingress"),
        ]
        task.endpoint = Endpoint(spec: EndpointSpec(), ports: ports)
        var machine = TaskMachine(task: task, containerID: "container", hasHealthCheck: false)
        for event in [TaskEvent.begin, .imageReady, .networkAttached, .created, .started(pid: 7)] {
            _ = machine.receive(event, at: Self.time)
        }
        #expect(machine.status.portStatus.ports == [ports[0]])
    }

    @Test func `a stopped task leaves names and balancers before its process is told`() {
        var machine = Self.running()
        #expect(machine.receive(.desired(.shutdown), at: Self.time) == [.withdraw])
        #expect(!machine.isServing)
        #expect(machine.receive(.withdrawn, at: Self.time) == [.stopContainer])
        #expect(machine.receive(.exited(code: 143, oomKilled: false), at: Self.time) == [.detachNetwork])
        #expect(machine.status.state == .shutdown)
        #expect(machine.remove(at: Self.time) == [.removeContainer])
        _ = machine.receive(.removed, at: Self.time)
        #expect(machine.isGone)
    }

    @Test(arguments: [(0, TaskState.complete), (1, .failed)])
    func `an exit nobody asked for completes or fails the task`(code: Int, state: TaskState) {
        var machine = Self.running()
        #expect(machine.receive(.exited(code: code, oomKilled: false), at: Self.time) == [.detachNetwork])
        #expect(machine.status.state == state)
        #expect(machine.status.err == (code == 0 ? nil : "task: non-zero exit (1)"))
    }

    @Test func `what goes wrong before the start rejects, afterwards fails`() {
        var rejected = Self.machine()
        _ = rejected.receive(.begin, at: Self.time)
        _ = rejected.receive(.failed(.ensureImage, "No such image: x:latest"), at: Self.time)
        #expect(rejected.status.state == .rejected)
        #expect(rejected.status.err == "No such image: x:latest")
        var failed = Self.machine()
        for event in [TaskEvent.begin, .imageReady, .networkAttached, .created] {
            _ = failed.receive(event, at: Self.time)
        }
        _ = failed.receive(.failed(.startContainer, "no such file"), at: Self.time)
        #expect(failed.status.state == .failed)
    }

    @Test func `a restarted agent takes a running container over and settles one that ended`() {
        var task = SwarmTask(id: "task")
        task.status.state = .running
        var adopted = TaskMachine(task: task, containerID: "container", hasHealthCheck: false)
        #expect(adopted.receive(.adopted(.running(pid: 9, isHealthy: false)), at: Self.time) == [])
        #expect(adopted.isServing)
        var ended = TaskMachine(task: task, containerID: "container", hasHealthCheck: false)
        _ = ended.receive(.adopted(.exited(code: 3)), at: Self.time)
        #expect(ended.status.state == .failed)
        var lost = TaskMachine(task: task, containerID: "container", hasHealthCheck: false)
        _ = lost.receive(.adopted(.missing), at: Self.time)
        #expect(lost.status.state == .failed)
    }

    @Test(arguments: 1...200)
    func `states only move forward whatever comes`(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let events: [TaskEvent] = [
            .begin, .imageReady, .networkAttached, .created, .started(pid: 1), .withdrawn, .stopped, .detached,
            .removed, .failed(.createContainer, "x"), .failed(.startContainer, "x"), .desired(.shutdown),
            .exited(code: 0, oomKilled: false), .exited(code: 1, oomKilled: true),
            .health(isHealthy: true, output: ""), .health(isHealthy: false, output: ""),
        ]
        var machine = Self.machine(hasHealthCheck: seed % 2 == 0)
        var last = machine.status.state
        for _ in 0..<40 {
            _ = machine.receive(events[Int(generator.next() % UInt64(events.count))], at: Self.time)
            #expect(machine.status.state >= last)
            last = machine.status.state
        }
    }
}
