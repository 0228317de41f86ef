import NameService
import Overlay
import Ports
import Store
import SwarmCore
import SwarmModel
import Testing

@testable import SwarmNode

/// A standalone machine with a runtime and managers that answer at once, all on virtual time.
private struct Bench {
    var machine = StandaloneMachine(subnet: AgentFacts.defaultLocalSubnet)
    var now = Instant(nanoseconds: 1_000_000_000)
    var effects: [StandaloneEffect] = []
    var answers: [UInt64: String] = [:]
    var started: [String] = []
    var removed: [String] = []
    var saved: [String: StandaloneContainer] = [:]
    /// Why the kernel refuses, by container.
    var refusals: [String: String] = [:]
    var startFailures: [String: SwarmError] = [:]
    private var clock: Int64 = 1_800_000_000_000_000_000

    mutating func send(_ event: StandaloneEvent) {
        var queue = [event]
        while !queue.isEmpty {
            for effect in machine.receive(queue.removeFirst(), at: now) {
                effects.append(effect)
                switch effect {
                case .applyNetworking(let version):
                    queue.append(.networkApplied(version: version, failures: refusals, ports: [:]))
                case .start(let id, _):
                    started.append(id)
                    queue.append(.started(containerID: id, startFailures[id]))
                case .answer(let ticket, let error): answers[ticket] = error?.message ?? ""
                case .remove(let id):
                    removed.append(id)
                    queue.append(.removed(containerID: id))
                case .save(let id, let wishes): saved[id] = wishes
                case .attach, .detach, .setHosts, .saveNetworks, .tell: break
                }
            }
        }
    }

    static func info(
        _ id: String, state: ContainerState = .created, _ change: (inout StandaloneContainer) -> Void
    ) -> ContainerInfo {
        var wishes = StandaloneContainer()
        change(&wishes)
        var request = ContainerRequest(id: id, name: "name-" + id, image: "busybox", spec: ContainerSpec())
        request.standalone = wishes
        var info = ContainerInfo(
            id: id, name: "name-" + id, image: "busybox", imageID: "", labels: [:], state: state,
            createdAt: .zero)
        info.request = request
        if state != .created { info.startedAt = Timestamp(nanoseconds: 1) }
        if state == .exited { (info.exitCode, info.finishedAt) = (1, Timestamp(nanoseconds: 2)) }
        return info
    }

    mutating func create(_ id: String, _ change: (inout StandaloneContainer) -> Void = { _ in }) {
        send(.created(Self.info(id, change)))
    }

    /// - Returns: the refusal, empty when it runs, nil while it waits.
    mutating func start(_ id: String) -> String? {
        let ticket = UInt64(answers.count + 1_000 + started.count)
        send(.start(containerID: id, ticket: ticket))
        return answers[ticket]
    }

    mutating func exit(_ id: String, code: Int = 0) {
        clock += 1
        send(.exited(containerID: id, code: code, at: Timestamp(nanoseconds: clock)))
    }

    /// Time goes on to the next deadline, if there is one within the bound.
    @discardableResult
    mutating func wait(_ bound: Duration = .seconds(3600)) -> Duration? {
        guard let next = machine.nextDeadline, next - now <= bound else { return nil }
        let pause = next - now
        now = max(now, next)
        send(.deadlineReached)
        return pause
    }
}

private func bridge(_ wishes: inout StandaloneContainer) {
    wishes.endpoints = [StandaloneEndpoint(networkID: "", networkName: "bridge", isOverlay: false)]
}

private func overlay(_ wishes: inout StandaloneContainer) {
    wishes.networkMode = "app"
    wishes.endpoints = [StandaloneEndpoint(networkID: "", networkName: "app", isOverlay: false)]
}

private let address = IPv4Subnet(IPv4Address(10 << 24 | 9), prefixLength: 24)

private func attachment(_ id: String, of container: String) -> ContainerAttachment {
    ContainerAttachment(
        id: id, containerID: container, networkID: "net1", networkName: "app", isInternal: false,
        address: address)
}

@Suite struct StandaloneMachineTests {
    @Test func aContainerStartsOnlyOnceItsNetworkIsThereAndGivesItBackAtItsEnd() {
        var bench = Bench()
        bench.send(.found([], []))
        bench.create("a", bridge)
        #expect(bench.start("a") == "")
        let sandbox = bench.machine.networking.sandboxes["a"]
        #expect(sandbox?.interfaces.count == 1 && sandbox?.defaultNetwork == "bridge")
        #expect(bench.saved["a"]?.endpoints.first?.address != nil)
        bench.exit("a", code: 3)
        #expect(bench.machine.networking.sandboxes.isEmpty && bench.machine.networking.networks.isEmpty)
        #expect(bench.saved["a"]?.endpoints.first?.address == nil)
        #expect(bench.machine.nextDeadline == nil)
    }

    @Test func addressesOfContainersThatRunAreNeverGivenTwice() {
        var bench = Bench()
        bench.send(.found([], []))
        for number in 0..<50 {
            bench.create("c\(number)", bridge)
            #expect(bench.start("c\(number)") == "")
            if number % 3 == 0 { bench.exit("c\(number)") }
        }
        let addresses = bench.machine.networking.sandboxes.values.flatMap { $0.interfaces.map(\.address) }
        #expect(Set(addresses).count == addresses.count && addresses.count == 33)
        // Tasks' half of the network is left alone.
        #expect(addresses.allSatisfy { $0.value >= 0xAC11_7FFF })
    }

    @Test func aFullNetworkRefusesAndLeavesNothingBehind() {
        var bench = Bench()
        let small = LocalNetwork(
            id: "n", name: "small", subnet: IPv4Subnet("192.168.9.0/30") ?? address,
            gateway: IPv4Address(0xC0A8_0901),
            createdAt: .zero)
        bench.send(.found([], [small]))
        for id in ["a", "b"] {
            bench.create(id) {
                $0.endpoints = [StandaloneEndpoint(networkID: "n", networkName: "small", isOverlay: false)]
            }
        }
        #expect(bench.start("a") == "")
        #expect(bench.start("b")?.contains("no available IPv4 addresses on network small") == true)
        #expect(bench.machine.networking.sandboxes.count == 1)
        bench.exit("a")
        #expect(bench.start("b") == "")
    }

    @Test func anOverlaysAddressIsWaitedForAndAskedBackUntilManagersHaveIt() {
        var bench = Bench()
        bench.send(.found([], []))
        bench.send(.attachments([]))
        bench.create("a", overlay)
        #expect(bench.start("a") == nil)
        guard case .attach("a", let wish)? = bench.effects.last else {
            Issue.record("no address is asked for: \(bench.effects)")
            return
        }
        #expect(wish.network == "app" && wish.aliases == ["a"])
        // The assignment may come before the answer.
        bench.send(.attachments([attachment("t1", of: "a")]))
        #expect(bench.started.isEmpty && !bench.effects.contains(.detach(attachment: "t1")))
        bench.send(.attachAnswered(containerID: "a", network: "app", .success("t1")))
        #expect(bench.started == ["a"])
        #expect(bench.machine.servingAttachments == ["t1"])
        #expect(bench.machine.networking.sandboxes["a"]?.interfaces.first?.networkID == "net1")
        bench.exit("a")
        #expect(bench.machine.servingAttachments.isEmpty)
        let asked = { (bench: Bench) in bench.effects.filter { $0 == .detach(attachment: "t1") }.count }
        #expect(asked(bench) == 1)
        bench.send(.detachAnswered(attachment: "t1", isDone: false))
        bench.wait()
        #expect(asked(bench) == 2)
        bench.send(.detachAnswered(attachment: "t1", isDone: true))
        bench.send(.attachments([]))
        #expect(bench.machine.nextDeadline == nil)
    }

    @Test func managersThatDoNotAnswerEndAStartInTime() {
        var bench = Bench()
        bench.send(.found([], []))
        bench.send(.attachments([]))
        bench.create("a", overlay)
        #expect(bench.start("a") == nil)
        #expect(bench.wait() == .seconds(20))
        #expect(bench.answers.values.first?.contains("attaching to network failed") == true)
        // What they give after all goes back.
        bench.send(.attachments([attachment("t1", of: "a")]))
        #expect(bench.effects.last == .detach(attachment: "t1"))
    }

    @Test func aRefusalOfManagersIsToldInTheirWords() {
        var bench = Bench()
        bench.send(.found([], []))
        bench.create("a", overlay)
        _ = bench.start("a")
        let refusal = SwarmError(
            .permissionDenied, "rpc error: code = PermissionDenied desc = network app not manually attachable"
        )
        bench.send(.attachAnswered(containerID: "a", network: "app", .failure(refusal)))
        let words =
            "failed to set up container networking: Could not attach to network app: rpc error: code = "
        #expect(
            bench.answers.values.first == words
                + "PermissionDenied desc = network app not manually attachable")
    }

    @Test func aRunningContainerThatLostItsAddressAsksAgain() {
        var bench = Bench()
        var info = Bench.info("a", state: .running, overlay)
        info.request?.standalone?.endpoints[0].attachmentID = "old"
        info.request?.standalone?.endpoints[0].address = address
        info.request?.standalone?.endpoints[0].isOverlay = true
        bench.send(.found([info], []))
        #expect(bench.effects.filter { if case .attach = $0 { true } else { false } }.isEmpty)
        // No manager has told yet: the container keeps what it has.
        #expect(bench.machine.networking.sandboxes["a"] != nil)
        bench.send(.attachments([]))
        #expect(bench.effects.contains { if case .attach("a", _) = $0 { true } else { false } })
        bench.send(.attachAnswered(containerID: "a", network: "app", .success("t2")))
        bench.send(.attachments([attachment("t2", of: "a")]))
        #expect(bench.machine.servingAttachments == ["t2"])
    }

    @Test func restartRulesCountAndPausesDouble() {
        var bench = Bench()
        bench.send(.found([], []))
        bench.create("a") {
            bridge(&$0)
            $0.restart = RestartRule(.onFailure, maximumRetries: 3)
        }
        #expect(bench.start("a") == "")
        var pauses: [Duration] = []
        for _ in 0..<3 {
            bench.exit("a", code: 1)
            // Its network stays over the pause.
            #expect(bench.machine.networking.sandboxes["a"] != nil)
            pauses.append(bench.wait() ?? .zero)
        }
        #expect(pauses == [.milliseconds(100), .milliseconds(200), .milliseconds(400)])
        bench.exit("a", code: 1)
        #expect(bench.wait() == nil && bench.started.count == 4)
        #expect(bench.machine.networking.sandboxes.isEmpty)
        #expect(bench.saved["a"]?.restartCount == 3)
    }

    @Test func successEndsOnFailureAndAStopEndsAlways() {
        var bench = Bench()
        bench.send(.found([], []))
        bench.create("once") { $0.restart = RestartRule(.onFailure) }
        bench.create("ever") { $0.restart = RestartRule(.always) }
        #expect(bench.start("once") == "" && bench.start("ever") == "")
        bench.exit("once", code: 0)
        #expect(bench.machine.nextDeadline == nil)
        bench.exit("ever", code: 0)
        #expect(bench.wait() != nil)
        bench.send(.stopWanted(containerID: "ever", staysDown: true))
        bench.exit("ever", code: 137)
        #expect(bench.machine.nextDeadline == nil && bench.saved["ever"]?.isStoppedByHand == true)
        // A user's start counts again.
        #expect(bench.start("ever") == "")
        bench.exit("ever")
        #expect(bench.machine.nextDeadline != nil)
    }

    @Test func aShortProcessMayEndBeforeItsStartIsAnswered() {
        var bench = Bench()
        bench.send(.found([], []))
        bench.create("a") { ($0.removesItself, $0.networkMode) = (true, "none") }
        var effects = bench.machine.receive(.start(containerID: "a", ticket: 1), at: bench.now)
        #expect(effects.contains(.start(containerID: "a", hosts: [])))
        effects = bench.machine.receive(
            .exited(containerID: "a", code: 0, at: Timestamp(nanoseconds: 9)), at: bench.now)
        #expect(effects.isEmpty)
        effects = bench.machine.receive(.started(containerID: "a", nil), at: bench.now)
        #expect(effects.contains(.answer(ticket: 1, nil)) && effects.contains(.remove(containerID: "a")))
    }

    @Test func theSameEndIsHeardOfTwiceAndCountsOnce() {
        var bench = Bench()
        bench.send(.found([], []))
        bench.create("a") { $0.restart = RestartRule(.always) }
        #expect(bench.start("a") == "")
        let time = Timestamp(nanoseconds: 77)
        bench.send(.exited(containerID: "a", code: 1, at: time))
        bench.wait()
        bench.send(.exited(containerID: "a", code: 1, at: time))
        #expect(bench.machine.members["a"]?.phase == .running && bench.started.count == 2)
    }

    @Test func afterARestartOfSwarmdOnlyWhatItsRuleSaysStarts() {
        func found(_ name: RestartRule.Name, byHand: Bool) -> Int {
            var bench = Bench()
            let info = Bench.info("a", state: .exited) {
                ($0.restart, $0.isStoppedByHand) = (RestartRule(name), byHand)
            }
            bench.send(.found([info, Bench.info("new", { $0.restart = RestartRule(name) })], []))
            return bench.started.count
        }
        #expect(found(.no, byHand: false) == 0 && found(.onFailure, byHand: false) == 1)
        #expect(found(.always, byHand: true) == 1 && found(.unlessStopped, byHand: true) == 0)
        #expect(found(.unlessStopped, byHand: false) == 1)
        var bench = Bench()
        bench.send(.found([Bench.info("gone", state: .exited) { $0.removesItself = true }], []))
        #expect(bench.removed == ["gone"])
    }

    @Test func aPortIsGivenOnceAndKeptFromServices() {
        var bench = Bench()
        bench.send(.found([], []))
        for id in ["a", "b"] {
            bench.create(id) {
                bridge(&$0)
                $0.ports = [PortBinding(transport: "tcp", containerPort: 80, hostPort: 8080)]
            }
        }
        bench.create("c") {
            bridge(&$0)
            $0.ports = [PortBinding(transport: "tcp", containerPort: 80, hostAddress: "127.0.0.1")]
        }
        let taken = PublishedPort.Key(transport: .tcp, port: 32_768)
        bench.send(.occupied([taken]))
        #expect(bench.start("a") == "")
        #expect(
            bench.start("b")?.hasSuffix("Bind for 0.0.0.0:8080 failed: port is already allocated") == true)
        #expect(bench.start("c") == "")
        let ports = bench.machine.networking.ports
        #expect(ports.map(\.publishedPort).sorted() == [8080, 32_769])
        #expect(ports.first { $0.publishedPort != 8080 }?.hostAddress == IPv4Address(0x7F00_0001))
        let service = PublishedPort(
            transport: .tcp, publishedPort: 8080, targetPort: 1, mode: .ingress, backends: [])
        let (merged, _) = bench.machine.networking.merged(
            into: DesiredNetworking(publishedPorts: [service]), NameSpaceView())
        #expect(merged.publishedPorts.filter { $0.publishedPort == 8080 }.map(\.targetPort) == [80])
        bench.exit("a")
        #expect(bench.start("b") == "")
    }

    @Test func containersFindEachOtherByNameOnUserDefinedNetworksOnly() {
        var bench = Bench()
        let network = LocalNetwork(
            id: "n", name: "br1", subnet: IPv4Subnet("192.168.9.0/24") ?? address,
            gateway: IPv4Address(0xC0A8_0901),
            createdAt: .zero)
        bench.send(.found([], []))
        bench.send(.networkMade(network))
        bench.create("a") {
            $0.endpoints = [StandaloneEndpoint(networkID: "", networkName: "br1", isOverlay: false)]
            $0.endpoints[0].aliases = ["db"]
        }
        bench.create("b", bridge)
        #expect(bench.start("a") == "" && bench.start("b") == "")
        #expect(bench.machine.networking.zones.keys.sorted() == ["n"])
        #expect(bench.machine.networking.zones["n"]?.containers.first?.names == ["name-a", "a", "db"])
        #expect(bench.machine.networking.scopes["b"]?.networks.isEmpty == true)
        #expect(bench.machine.hasEndpoints(onNetwork: "n"))
        bench.exit("a")
        #expect(!bench.machine.hasEndpoints(onNetwork: "n"))
    }

    @Test func aRunningContainerJoinsAndLeavesNetworks() {
        var bench = Bench()
        bench.send(.found([], []))
        bench.send(.attachments([]))
        bench.create("a", bridge)
        #expect(bench.start("a") == "")
        let app = StandaloneEndpoint(networkID: "", networkName: "app", isOverlay: false)
        bench.send(.connect(containerID: "a", app, ticket: 7))
        #expect(bench.answers[7] == nil)
        bench.send(.attachAnswered(containerID: "a", network: "app", .success("t1")))
        bench.send(.attachments([attachment("t1", of: "a")]))
        #expect(bench.answers[7] == "")
        #expect(bench.machine.networking.sandboxes["a"]?.interfaces.map(\.networkID) == ["bridge", "net1"])
        bench.send(.connect(containerID: "a", app, ticket: 8))
        #expect(bench.answers[8] == "endpoint with name name-a already exists in network app")
        bench.send(.disconnect(containerID: "a", network: "app", force: false, ticket: 9))
        #expect(bench.answers[9] == "" && bench.effects.contains(.detach(attachment: "t1")))
        bench.send(.disconnect(containerID: "a", network: "app", force: false, ticket: 10))
        #expect(bench.answers[10] == "container a is not connected to network app")
    }

    @Test func aKernelThatRefusesFailsTheStart() {
        var bench = Bench()
        bench.send(.found([], []))
        bench.create("a", bridge)
        bench.refusals["a"] = "no link"
        #expect(bench.start("a") == "failed to set up container networking: no link")
        #expect(bench.started.isEmpty && bench.machine.networking.sandboxes.isEmpty)
        bench.refusals = [:]
        bench.startFailures["a"] = SwarmError(.invalidArgument, "exec: \"nope\": not found")
        #expect(bench.start("a") == "exec: \"nope\": not found")
        #expect(bench.machine.networking.sandboxes.isEmpty)
        #expect(bench.saved["a"]?.startFailure == "exec: \"nope\": not found")
        // A client that runs it with --rm waits for its removal.
        bench.create("b") { $0.removesItself = true }
        bench.startFailures["b"] = SwarmError(.invalidArgument, "no")
        #expect(bench.start("b") == "no" && bench.removed == ["b"])
    }
}

@Suite struct AttachmentTests {
    private func cluster() throws -> (NodeHarness, network: ObjectID) {
        var harness = NodeHarness()
        harness.start()
        var spec = NetworkSpec(name: "app")
        spec.attachable = true
        guard case .created(let id, _)? = try harness.request(.createNetwork(spec))?.get() else {
            throw SwarmError(.internal, "no network")
        }
        return (harness, id)
    }

    private func attach(_ container: String, _ network: String, at address: String? = nil) -> ControlRequest {
        .attachment(
            nodeID: "n1",
            .attach(
                containerID: container,
                AttachmentWish(
                    network: network, containerName: "debug", aliases: ["short"],
                    address: address.flatMap { IPv4Address($0) })))
    }

    @Test func aStandaloneContainerGetsAnAddressAndNamesUntilItGivesThemBack() throws {
        var (harness, network) = try cluster()
        guard case .created(let id, _)? = try harness.request(attach("c1", "app"))?.get() else {
            Issue.record("no attachment")
            return
        }
        let given = harness.machine.agent.containerAttachments ?? []
        #expect(given.map(\.id) == [id] && given.first?.networkID == network)
        // Asked twice it is the same one.
        #expect(try harness.request(attach("c1", network))?.get() == .created(id))
        #expect(harness.names.directory.networks[network]?.services.first?.endpoints.isEmpty == true)
        harness.send(.agent(.attached([id])))
        let record = harness.names.directory.networks[network]?.services.first
        #expect(record?.name == "debug" && record?.aliases == ["short"])
        #expect(record?.endpoints.map(\.address) == given.map(\.address.address))
        #expect(harness.machine.store.tasks[id]?.status.state == .running)
        #expect(harness.containers.isEmpty)
        try harness.demand(.attachment(nodeID: "n1", .detach(attachment: id)))
        #expect(harness.machine.agent.containerAttachments?.isEmpty == true)
        #expect(harness.machine.store.tasks[id] == nil)
    }

    @Test func onlyAttachableNetworksTakeStandaloneContainersAndOnlyItsNodeEndsAnAttachment() throws {
        var (harness, _) = try cluster()
        try harness.demand(.createNetwork(NetworkSpec(name: "closed")))
        for (network, words) in [
            ("closed", "network closed not manually attachable"), ("ingress", "not manually attachable"),
            ("nope", "network nope not found"),
        ] {
            guard case .failure(let error)? = harness.request(attach("c1", network)) else {
                Issue.record("\(network) was taken")
                continue
            }
            #expect(error.message.contains(words))
        }
        guard case .created(let id, _)? = try harness.request(attach("c1", "app"))?.get() else { return }
        try harness.demand(.attachment(nodeID: "n2", .detach(attachment: id)))
        #expect(harness.machine.store.tasks[id] != nil)
    }

    @Test func anAddressAskedForIsGivenOnceAndANetworkInUseStays() throws {
        var (harness, network) = try cluster()
        let subnet = try #require(harness.machine.store.networks[network]?.subnet)
        let wanted = subnet.network.advanced(by: 77).description
        guard case .created(let id, _)? = try harness.request(attach("c1", "app", at: wanted))?.get() else {
            return
        }
        #expect(harness.machine.agent.containerAttachments?.first?.address.address.description == wanted)
        guard case .failure(let error)? = harness.request(attach("c2", "app", at: wanted)) else {
            Issue.record("one address was given twice")
            return
        }
        #expect(error.message == "Address already in use")
        guard case .failure(let refusal)? = harness.request(.removeNetwork(id: network)) else {
            Issue.record("a network in use was removed")
            return
        }
        #expect(refusal.message.contains("network \(network) is in use by task \(id)"))
    }
}
