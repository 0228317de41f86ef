import SwarmCLI
import SwarmClient
import SwarmCore
import SwarmModel
import Testing

@Suite struct ConvergenceTests {
    static let node = Node(
        id: "n", description: NodeDescription(hostname: "node1"), status: NodeStatus(state: "ready"))

    static func seen(
        _ states: [TaskState], update: UpdateStatus? = nil, err: String? = nil, global: Bool = false
    ) -> ServiceObservation {
        let mode =
            global
            ? ServiceMode(global: GlobalMode())
            : ServiceMode(replicated: ReplicatedMode(replicas: UInt64(states.count)))
        let service = Service(id: "svc", spec: ServiceSpec(name: "web", mode: mode), updateStatus: update)
        let tasks = states.enumerated().map { index, state in
            SwarmTask(
                id: "t\(index)", serviceID: "svc", slot: global ? nil : index + 1, nodeID: "n",
                status: TaskStatus(state: state, err: err), desiredState: .running)
        }
        return ServiceObservation(service: service, tasks: tasks, nodes: [node])
    }

    static func at(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }

    @Test func `a service converges after all tasks ran for five seconds`() {
        var convergence = Convergence()
        var (lines, outcome) = convergence.observe(Self.seen([.preparing, .running]), at: Self.at(0))
        #expect(
            lines.map(\.text) == [
                "overall progress: 1 out of 2 tasks", "1/2: preparing [=====>    ]",
                "2/2: running   [=========>]",
            ])
        #expect(outcome == .waiting)
        (lines, outcome) = convergence.observe(Self.seen([.running, .running]), at: Self.at(1))
        #expect(lines.last?.text == "verify: Waiting 5 seconds to verify that tasks are stable...")
        (lines, outcome) = convergence.observe(Self.seen([.running, .running]), at: Self.at(3.5))
        #expect(lines.last?.text == "verify: Waiting 3 seconds to verify that tasks are stable...")
        #expect(outcome == .waiting)
        (lines, outcome) = convergence.observe(Self.seen([.running, .running]), at: Self.at(6))
        #expect(lines.last?.text == "verify: Service svc converged")
        #expect(outcome == .converged)
    }

    @Test func `a failure while it is verified starts the wait anew`() {
        var convergence = Convergence()
        _ = convergence.observe(Self.seen([.running]), at: Self.at(0))
        let (lines, _) = convergence.observe(
            Self.seen([.starting], err: "task: non-zero exit (1)"), at: Self.at(4))
        #expect(lines.map(\.text).contains("1/1: task: non-zero exit (1)"))
        _ = convergence.observe(Self.seen([.running]), at: Self.at(5))
        #expect(convergence.observe(Self.seen([.running]), at: Self.at(9.9)).outcome == .waiting)
        #expect(convergence.observe(Self.seen([.running]), at: Self.at(10)).outcome == .converged)
    }

    @Test func `a long error is cut`() {
        var convergence = Convergence()
        let (lines, _) = convergence.observe(
            Self.seen([.pending], err: String(repeating: "x", count: 200)), at: Self.at(0))
        #expect(lines.last?.text == "1/1: " + String(repeating: "x", count: 74) + "…")
    }

    @Test func `above twenty slots only the header is shown`() {
        var convergence = Convergence()
        let (lines, _) = convergence.observe(Self.seen(Array(repeating: .running, count: 21)), at: Self.at(0))
        #expect(lines.map(\.key) == ["overall", "verify"])
    }

    @Test func `a paused update is an error, an old pause is not`() {
        var convergence = Convergence()
        _ = convergence.observe(
            Self.seen([.running], update: UpdateStatus(state: "updating")), at: Self.at(0))
        let paused = UpdateStatus(state: "paused", message: "update paused due to failure")
        #expect(
            convergence.observe(Self.seen([.running], update: paused), at: Self.at(1)).outcome
                == .failed("service update paused: update paused due to failure"))
        var later = Convergence()
        #expect(later.observe(Self.seen([.running], update: paused), at: Self.at(0)).outcome == .waiting)
    }

    @Test func `a rollback says so in every header`() {
        var convergence = Convergence()
        let rolling = UpdateStatus(state: "rollback_started", message: "update rolled back due to failure")
        let (lines, _) = convergence.observe(Self.seen([.running], update: rolling), at: Self.at(0))
        #expect(
            lines.prefix(2).map(\.text) == [
                "rollback: update rolled back due to failure",
                "overall progress: rolling back update: 1 out of 1 tasks",
            ])
        let done = UpdateStatus(state: "rollback_completed", message: "rollback completed")
        _ = convergence.observe(Self.seen([.running], update: done), at: Self.at(1))
        #expect(
            convergence.observe(Self.seen([.running], update: done), at: Self.at(6)).outcome == .converged)
    }

    @Test func `a task that is not started again ends the wait`() {
        var seen = Self.seen([.failed], err: "task: non-zero exit (1)")
        seen.service.spec.taskTemplate.restartPolicy = RestartPolicy(condition: "none")
        seen.tasks[0].desiredState = .shutdown
        var convergence = Convergence()
        #expect(
            convergence.observe(seen, at: Self.at(0)).outcome
                == .failed(
                    "service svc did not converge, its restart condition is \"none\": task: non-zero exit (1)"
                ))
        seen.tasks[0].status = TaskStatus(state: .complete)
        #expect(convergence.observe(seen, at: Self.at(1)).outcome == .converged)
    }

    @Test func `a global service without tasks waits for them`() {
        var convergence = Convergence()
        let (lines, outcome) = convergence.observe(Self.seen([], global: true), at: Self.at(0))
        #expect(lines.map(\.text) == ["overall progress: waiting for new tasks"] && outcome == .waiting)
    }

    @Test func `a service without replicas is there at once`() {
        var convergence = Convergence()
        _ = convergence.observe(Self.seen([]), at: Self.at(0))
        #expect(convergence.observe(Self.seen([]), at: Self.at(5)).outcome == .converged)
    }

    @Test func `a global service counts the nodes it runs on`() {
        var convergence = Convergence()
        let (lines, _) = convergence.observe(Self.seen([.starting], global: true), at: Self.at(0))
        #expect(lines.map(\.text) == ["overall progress: 0 out of 1 tasks", "node1: starting  [=======>  ]"])
    }

    @Test func `a job ends when all have completed`() {
        var service = Service(id: "svc", spec: ServiceSpec(name: "job"))
        service.spec.mode = ServiceMode(
            replicatedJob: ReplicatedJobMode(maxConcurrent: 2, totalCompletions: 2))
        service.jobStatus = JobStatus(jobIteration: ObjectVersion(index: 3))
        func seen(_ states: [TaskState]) -> ServiceObservation {
            let tasks = states.enumerated().map { index, state in
                SwarmTask(
                    id: "t\(index)", serviceID: "svc", slot: index, status: TaskStatus(state: state),
                    desiredState: .complete, jobIteration: ObjectVersion(index: 3))
            }
            return ServiceObservation(service: service, tasks: tasks, nodes: [])
        }
        var convergence = Convergence()
        let first = convergence.observe(seen([.complete, .running]), at: Self.at(0))
        #expect(first.lines.first?.text == "job progress: 1 out of 2 complete")
        #expect(first.outcome == .waiting)
        let last = convergence.observe(seen([.complete, .complete]), at: Self.at(1))
        #expect(last.lines.last?.text == "job complete" && last.outcome == .converged)
    }
}

@Suite struct ProgressDisplayTests {
    @Test func `without a terminal only changes are written`() {
        var display = ProgressDisplay(isTerminal: false, columns: 80)
        let lines = [
            ProgressLine("overall", "overall progress: 0 out of 1 tasks"),
            ProgressLine("1/1", "1/1: starting  [=======>  ]"),
        ]
        #expect(display.show(lines) == "overall progress: 0 out of 1 tasks\n1/1: starting\n")
        #expect(display.show(lines) == "")
        #expect(display.show([ProgressLine("1/1", "1/1: running   [=========>]")]) == "1/1: running\n")
    }

    @Test func `on a terminal all lines are drawn anew in place`() {
        var display = ProgressDisplay(isTerminal: true, columns: 80)
        #expect(
            display.show([ProgressLine("a", "one"), ProgressLine("b", "two")]) == "one\u{1b}[K\ntwo\u{1b}[K\n"
        )
        #expect(display.show([ProgressLine("a", "ONE")]) == "\u{1b}[2AONE\u{1b}[K\ntwo\u{1b}[K\n")
    }
}

@Suite struct WireTests {
    @Test func `frames are found however the stream is cut`() {
        let bytes: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 3, 0x61, 0x62, 0x0a, 2, 0, 0, 0, 0, 0, 0, 1, 0x65]
        for cut in 0...bytes.count {
            var splitter = FrameSplitter()
            let frames =
                splitter.frames(adding: Array(bytes[..<cut])) + splitter.frames(adding: Array(bytes[cut...]))
            #expect(
                frames == [
                    .init(stream: .stdout, bytes: [0x61, 0x62, 0x0a]), .init(stream: .stderr, bytes: [0x65]),
                ])
        }
    }

    @Test func `lines are found however the stream is cut`() {
        let bytes = Array("{\"a\":1}\r\n{}\nrest".utf8)
        for cut in 0...bytes.count {
            var splitter = LineSplitter()
            let lines =
                splitter.lines(adding: Array(bytes[..<cut])) + splitter.lines(adding: Array(bytes[cut...]))
            #expect(lines.map { String(decoding: $0, as: UTF8.self) } == ["{\"a\":1}", "{}"])
            #expect(String(decoding: splitter.remainder(), as: UTF8.self) == "rest")
        }
    }

    @Test func `JSON keeps order, digits and every character`() throws {
        let text =
            #"{"b":[1,2.50,-1e3,12345678901234567890],"a":{"x":null,"y":true,"z":false},"s":"\u00e9\ud83d\ude00\n\"\\/"}"#
        let value = try JSONValue(parsing: Array(text.utf8))
        #expect(
            value.compact
                == #"{"b":[1,2.50,-1e3,12345678901234567890],"a":{"x":null,"y":true,"z":false},"s":"é😀\n\"\\/"}"#
        )
    }

    @Test(arguments: ["", "{", "[1,]", "{\"a\"}", "tru", "\"abc", "1 2", String(repeating: "[", count: 1000)])
    func `what is no JSON is refused`(_ text: String) {
        #expect(throws: SwarmError.self) { try JSONValue(parsing: Array(text.utf8)) }
    }

    @Test func `hosts are read and others refused`() throws {
        #expect(try EngineHost("unix:///run/swarmd.sock").transport == .unix(path: "/run/swarmd.sock"))
        #expect(try EngineHost("tcp://10.0.0.1").transport == .tcp(host: "10.0.0.1", port: 2375))
        #expect(try EngineHost("http://h:80/").transport == .tcp(host: "h", port: 80))
        for text in ["", "swarmd.sock", "unix://relative", "ssh://h", "tcp://h:99999"] {
            #expect(throws: SwarmError.self) { try EngineHost(text) }
        }
    }

    @Test func `refusals keep the daemon's words`() {
        let error = EngineRefusal.error(status: 404, body: Array(#"{"message":"service x not found"}"#.utf8))
        #expect(error.code == .notFound)
        #expect(error.message == "Error response from daemon: service x not found")
        #expect(EngineRefusal.error(status: 500, body: []).message.contains("status 500"))
    }
}
