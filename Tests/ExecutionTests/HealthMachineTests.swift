import SwarmCore
import SwarmModel
import Testing

@testable import Execution

@Suite struct HealthMachineTests {
    /// A container whose checks are answered by a script, on virtual time.
    struct Patient {
        var machine: HealthMachine
        var now = Instant(nanoseconds: 1_000_000_000)
        var reports: [HealthMachine.Status] = []
        var kills: [Int] = []
        /// When each check began, in seconds since the start.
        var begun: [Double] = []
        private let origin = Instant(nanoseconds: 1_000_000_000)

        init(_ configuration: HealthConfig, wasHealthy: Bool = false) {
            var configuration = configuration
            configuration.test = configuration.test ?? ["CMD", "true"]
            guard let settings = HealthSettings(configuration) else { preconditionFailure("not a check") }
            machine = HealthMachine(settings: settings, wasHealthy: wasHealthy)
        }

        func wall() -> Timestamp { Timestamp(nanoseconds: now.nanoseconds) }

        mutating func start(age: Duration = .zero) { take(machine.receive(.started(age: age), at: now)) }

        /// Lets the next deadline come.
        mutating func wake() -> [HealthMachine.Effect] {
            if let deadline = machine.deadline { now = max(now, deadline) }
            return machine.receive(.deadlineReached(wall()), at: now)
        }

        /// Runs the next check; nil lets it take too long.
        mutating func check(_ code: Int?, lasting duration: Duration = .milliseconds(10)) {
            let effects = wake()
            guard case .run(let number)? = effects.first else {
                Issue.record("no check was due")
                return
            }
            begun.append(Double((now - origin).wholeNanoseconds) / 1e9)
            guard let code else { return take(wake()) }
            let start = wall()
            now = now + duration
            let result = HealthResult(start: start, end: wall(), exitCode: code, output: "code \(code)")
            take(machine.receive(.finished(check: number, result), at: now))
        }

        mutating func take(_ effects: [HealthMachine.Effect]) {
            for effect in effects {
                switch effect {
                case .report(let status, _): reports.append(status)
                case .kill(let check): kills.append(check)
                case .run: break
                }
            }
        }
    }

    static let second: Int64 = 1_000_000_000

    @Test func `the first check comes after one interval and a success makes the container healthy`() {
        var patient = Patient(HealthConfig())
        patient.start()
        patient.check(0)
        #expect(patient.begun == [30])
        #expect(patient.reports == [.healthy])
        patient.check(0)
        #expect(patient.begun[1] == 60.01)
        #expect(patient.reports == [.healthy])
    }

    @Test func `as many failures in a row as retries make it unhealthy, a success starts the count again`() {
        var patient = Patient(HealthConfig(interval: Self.second))
        patient.start()
        for code in [0, 1, 1, 0, 1, 1] { patient.check(code) }
        #expect(patient.reports == [.healthy])
        #expect(patient.machine.failingStreak == 2)
        patient.check(7)
        #expect(patient.reports == [.healthy, .unhealthy])
        patient.check(0)
        #expect(patient.reports == [.healthy, .unhealthy, .healthy])
    }

    @Test func `failures in the start period do not count and come at the start interval`() {
        var patient = Patient(
            HealthConfig(
                interval: 10 * Self.second, startPeriod: 4 * Self.second, startInterval: Self.second, retries: 1))
        patient.start()
        for _ in 0..<3 { patient.check(1, lasting: .zero) }
        #expect(patient.begun == [1, 2, 3])
        #expect(patient.reports == [])
        // The fourth begins when the period is over.
        patient.check(1, lasting: .zero)
        #expect(patient.reports == [.unhealthy])
        #expect(patient.begun == [1, 2, 3, 4])
    }

    @Test func `a success ends the start period for good`() {
        var patient = Patient(
            HealthConfig(
                interval: 10 * Self.second, startPeriod: 60 * Self.second, startInterval: Self.second, retries: 2))
        patient.start()
        for code in [0, 1, 1] { patient.check(code, lasting: .zero) }
        #expect(patient.begun == [1, 11, 21])
        #expect(patient.reports == [.healthy, .unhealthy])
    }

    @Test func `a check that takes too long is killed, counts as a failure, and its late answer is ignored`() {
        var patient = Patient(HealthConfig(interval: Self.second, timeout: 1_500_000_000, retries: 1))
        patient.start()
        patient.check(nil)
        #expect(patient.kills == [1])
        #expect(patient.reports == [.unhealthy])
        #expect(patient.machine.results.last?.output == "Health check exceeded timeout (1.5s)")
        #expect(patient.machine.results.last?.exitCode == -1)
        let late = HealthResult(start: patient.wall(), end: patient.wall(), exitCode: 0, output: "")
        #expect(patient.machine.receive(.finished(check: 1, late), at: patient.now) == [])
        #expect(patient.machine.status == .unhealthy)
    }

    @Test func `only the last five results are kept`() {
        var patient = Patient(HealthConfig())
        patient.start()
        for code in 0..<8 { patient.check(code) }
        #expect(patient.machine.results.map(\.exitCode) == [3, 4, 5, 6, 7])
    }

    @Test func `a suspended container is not checked, a resumed one is`() {
        var patient = Patient(HealthConfig())
        patient.start()
        #expect(patient.wake() == [.run(check: 1)])
        #expect(patient.machine.receive(.suspended, at: patient.now) == [.kill(check: 1)])
        #expect(patient.machine.deadline == nil)
        #expect(patient.machine.receive(.deadlineReached(patient.wall()), at: patient.now + .seconds(99)) == [])
        patient.start(age: .seconds(100))
        #expect(patient.wake() == [.run(check: 2)])
    }

    @Test func `after a restart of the daemon a healthy container stays healthy and its age counts`() {
        var patient = Patient(HealthConfig(startPeriod: 50 * Self.second, retries: 1), wasHealthy: true)
        patient.start(age: .seconds(100))
        #expect(patient.machine.status == .healthy)
        patient.check(1)
        #expect(patient.begun == [30])
        #expect(patient.reports == [.unhealthy])
    }

    @Test func `defaults are Docker's, and NONE, nothing and unknown kinds are no check`() throws {
        let settings = try #require(HealthSettings(HealthConfig(test: ["CMD-SHELL", "exit 1"])))
        #expect(settings.command == ["/bin/sh", "-c", "exit 1"])
        #expect(settings.interval == .seconds(30) && settings.timeout == .seconds(30))
        #expect(settings.startPeriod == .zero && settings.startInterval == .seconds(5) && settings.retries == 3)
        for test in [nil, [], ["NONE"], ["CMD"], ["HTTP", "/"]] as [[String]?] {
            #expect(HealthSettings(HealthConfig(test: test)) == nil)
        }
        #expect(HealthSettings(nil) == nil)
    }

    @Test func `what the task leaves open comes from the image, field by field`() {
        let image = HealthConfig(test: ["CMD", "image"], interval: 5, timeout: 6, startPeriod: 7, retries: 8)
        #expect(HealthConfig.merged(task: nil, image: image) == image)
        #expect(HealthConfig.merged(task: HealthConfig(test: ["NONE"]), image: nil) == HealthConfig(test: ["NONE"]))
        let merged = HealthConfig.merged(
            task: HealthConfig(test: [], interval: 50, timeout: 0, startInterval: 9), image: image)
        let expected = HealthConfig(
            test: ["CMD", "image"], interval: 50, timeout: 6, startPeriod: 7, startInterval: 9, retries: 8)
        #expect(merged == expected)
    }
}
