import SwarmCore
import SwarmModel
import Testing

@testable import Compose

@Suite struct PlanTests {
    static let file = """
        services:
          web:
            image: nginx:1
            environment: {A: 1, B: 2}
            networks: [front]
            secrets: [s]
            configs: [c]
            ports: ["80:80"]
            volumes: ["data:/data"]
            deploy: {replicas: 2, labels: {l: 1}}
          db: {image: pg, networks: [front]}
        networks: {front: {attachable: true}}
        volumes: {data: }
        secrets: {s: {file: s}}
        configs: {c: {content: hello}}
        """
    static let files = ["/p/s": "hush"]

    /// The stack as an engine would have it after deploying: identifiers put in, images pinned, secrets not given away.
    private func deployed(_ specs: StackSpecs) -> StackState {
        var state = StackState()
        state.networks = specs.networks.map { Network(id: "id-\($0.name)", spec: $0) }
        state.secrets = specs.secrets.map { spec in
            var spec = spec
            spec.data = nil
            return Secret(id: "id-\(spec.name)", spec: spec)
        }
        state.configs = specs.configs.map { Config(id: "id-\($0.name)", spec: $0) }
        state.services = specs.services.map { service in
            var spec = service.spec
            spec.taskTemplate.networks = spec.taskTemplate.networks?.map {
                NetworkAttachmentConfig(
                    target: "id-\($0.target ?? "")", aliases: $0.aliases, driverOpts: $0.driverOpts)
            }
            let container = spec.taskTemplate.containerSpec
            spec.taskTemplate.containerSpec?.secrets = container?.secrets?.map {
                SecretReference(secretID: "id-\($0.secretName)", secretName: $0.secretName, file: $0.file)
            }
            spec.taskTemplate.containerSpec?.configs = container?.configs?.map {
                ConfigReference(configID: "id-\($0.configName)", configName: $0.configName, file: $0.file)
            }
            let digest = "@sha256:" + String(repeating: "a", count: 64)
            spec.taskTemplate.containerSpec?.image = (container?.image ?? "") + digest
            spec.taskTemplate.placement?.platforms = [Platform(architecture: "amd64", os: "linux")]
            spec.taskTemplate.forceUpdate = 7
            // An engine may spell what says nothing in another way.
            spec.taskTemplate.containerSpec?.hosts = []
            // An engine writes its defaults out.
            spec.taskTemplate.runtime = "container"
            spec.taskTemplate.containerSpec?.isolation = "default"
            if spec.endpointSpec?.mode == nil { spec.endpointSpec?.mode = "vip" }
            if spec.mode.replicated?.replicas == nil { spec.mode.replicated?.replicas = 1 }
            return Service(id: "id-\(spec.name)", spec: spec)
        }
        return state
    }

    private func plan(_ text: String, prune: StackPlan.Prune = .nothing) throws -> StackPlan {
        let state = deployed(try specs(Self.file, files: Self.files))
        return StackPlan(try specs(text, files: Self.files), over: state, prune: prune)
    }

    @Test func `everything is created where nothing is, in order`() throws {
        let plan = StackPlan(try specs(Self.file, files: Self.files), over: StackState())
        #expect(
            plan.lines == [
                "+ network st_front", "+ secret st_s", "+ config st_c", "+ service st_db", "+ service st_web",
            ])
    }

    @Test func `what was deployed changes nothing`() throws {
        let plan = try plan(Self.file)
        #expect(plan.changes == [])
        #expect(plan.isEmpty)
    }

    @Test func `fields are told with old and new, and whether tasks restart`() throws {
        let text = Self.file.replacing("A: 1, B: 2", with: "A: 3, C: 4").replacing("nginx:1", with: "nginx:2")
            .replacing("replicas: 2", with: "replicas: 5")
        #expect(
            try plan(text).lines == [
                "~ service st_web (tasks restart)",
                "    Labels[com.docker.stack.image]: nginx:1 -> nginx:2",
                "    Mode.Replicated.Replicas: 2 -> 5",
                "    TaskTemplate.ContainerSpec.Env[A]: 1 -> 3",
                "    TaskTemplate.ContainerSpec.Env[B]: 2 -> (none)",
                "    TaskTemplate.ContainerSpec.Env[C]: (none) -> 4",
                "    TaskTemplate.ContainerSpec.Image: nginx:1@sha256:\(String(repeating: "a", count: 64)) -> nginx:2",
                // Found out with the old image's digest; whoever pins the new one finds out its own.
                "    TaskTemplate.Placement.Platforms: [{Architecture: amd64, OS: linux}] -> (none)",
            ])
    }

    @Test func `replicas and labels restart no task, and the task's template is sent as it is`() throws {
        let text = Self.file.replacing("replicas: 2, labels: {l: 1}", with: "replicas: 0, labels: {l: 2}")
        let plan = try plan(text)
        #expect(
            plan.lines == [
                "~ service st_web", "    Labels[l]: 1 -> 2", "    Mode.Replicated.Replicas: 2 -> 0",
            ])
        let state = deployed(try specs(Self.file, files: Self.files))
        let old = try #require(state.services.first { $0.spec.name == "st_web" }).spec
        let new = try #require(try specs(text, files: Self.files).services.first { $0.key == "web" }).spec
        let sent = new.reconciled(with: old, networks: state.networks)
        #expect(sent.taskTemplate == old.taskTemplate)
        #expect(sent.mode.replicated?.replicas == 0)
    }

    @Test func `mounts, networks, secrets and ports are told apart by what they are`() throws {
        let text = Self.file.replacing("data:/data", with: "data:/data:ro").replacing(
            "[\"80:80\"]", with: "[\"80:80\", \"81:81\"]"
        )
        .replacing("secrets: [s]", with: "secrets: [{source: s, mode: 0400}]")
        .replacing("networks: [front]\n    secrets", with: "networks: {front: {aliases: [w]}}\n    secrets")
        #expect(
            try plan(text).changes.flatMap(\.fields).map(\.path) == [
                "EndpointSpec.Ports[81,81,tcp].Protocol", "EndpointSpec.Ports[81,81,tcp].PublishMode",
                "EndpointSpec.Ports[81,81,tcp].PublishedPort", "EndpointSpec.Ports[81,81,tcp].TargetPort",
                "TaskTemplate.ContainerSpec.Mounts[/data].ReadOnly",
                "TaskTemplate.ContainerSpec.Secrets[s].File.Mode",
                "TaskTemplate.Networks[st_front].Aliases",
            ])
    }

    @Test func `networks and data are replaced, labels updated, secrets not compared without data`() throws {
        let text = Self.file.replacing("attachable: true", with: "internal: true").replacing(
            "content: hello", with: "content: hullo!"
        )
        .replacing("{file: s}", with: "{file: s, labels: {a: b}}")
        #expect(
            try plan(text).lines == [
                "= network st_front (kept as it is: a network cannot be changed)",
                "    Attachable: true -> (none)",
                "    Internal: (none) -> true",
                "~ secret st_s", "    Labels[a]: (none) -> b",
                "± config st_c", "    Data: 5 bytes -> 6 bytes",
            ])
    }

    @Test func `what no file names is kept, or removed when asked so`() throws {
        let text = "services: {db: {image: pg, networks: [front]}}\nnetworks: {front: {attachable: true}}"
        #expect(
            try plan(text).lines == [
                "= service st_web (in no file; kept)", "= secret st_s (in no file; kept)",
                "= config st_c (in no file; kept)",
            ])
        #expect(try plan(text).isEmpty)
        #expect(
            try plan(text, prune: .services).lines.prefix(2) == [
                "- service st_web", "= secret st_s (in no file; kept)",
            ])
        #expect(
            try plan(text, prune: .everything).lines == [
                "- service st_web", "- secret st_s", "- config st_c",
            ])
    }

    @Test func `a service that holds the port of its successor goes first, others last`() throws {
        let text = "services: {old: {image: x, ports: [\"80:80\"]}, idle: {image: x, ports: [\"82:80\"]}}"
        let state = VersionTests.deployed(try specs(text))
        let plan = StackPlan(
            try specs("services: {new: {image: x, ports: [\"80:8080\"]}}"), over: state, prune: .services)
        #expect(plan.lines == ["+ service st_new", "- service st_idle", "- service st_old"])
        #expect(plan.removedFirst(from: state) == ["st_old"])
    }

    @Test func `another mode is told`() throws {
        let text = Self.file.replacing("replicas: 2, labels", with: "mode: global, labels")
        #expect(
            try plan(text).lines == [
                "± service st_web (another mode: removed, then created)", "    Mode.Global: (none) -> {}",
                "    Mode.Replicated.Replicas: 2 -> (none)",
            ])
    }

    @Test func `a job of one run is no other than one that the engine has written out`() throws {
        let job = try specs("services: {j: {image: x, deploy: {mode: replicated-job}}}")
        var state = VersionTests.deployed(job)
        state.services[0].spec.mode.replicatedJob = ReplicatedJobMode(maxConcurrent: 1, totalCompletions: 1)
        #expect(StackPlan(job, over: state).isEmpty)
    }

    @Test func `objects of other stacks with our names are no reason to remove`() throws {
        var state = StackState()
        state.services = [
            Service(id: "x", spec: ServiceSpec(name: "other", labels: ["com.docker.stack.namespace": "zz"]))
        ]
        state.networks = [Network(id: "n", spec: NetworkSpec(name: "ingress"))]
        let plan = StackPlan(try specs("services: {}"), over: state, prune: .everything)
        #expect(plan.changes == [])
    }

    @Test func `500 services are loaded, planned and ordered within a second`() throws {
        var text =
            "x-base: &base {image: \"x:1\", environment: {A: 1, B: 2, C: 3}, deploy: {replicas: 2}}\nservices:\n"
        for number in 0..<500 {
            let after = number % 10 == 0 ? "" : ", depends_on: [s\(number - 1)]"
            text +=
                "  s\(number): {<<: *base, ports: [\"\(number + 1000):80\"], configs: [c], healthcheck: {test: \"true\"}\(after)}\n"
        }
        text += "configs: {c: {content: hello}}\n"
        let state = deployed(try specs(text))
        var first: [String] = []
        let started = FuzzTests.threadTime
        do {
            let wanted = StackVersions.resolve(try specs(text), over: state)
            let plan = StackPlan(wanted, over: state)
            #expect(plan.isEmpty)
            var rollout = StackRollout(wanted, StackPlan(wanted, over: StackState()), over: StackState())
            first = rollout.next()
            _ = StackRemovalOrder.rounds(wanted.services.map(\.spec.name), Revision(1, of: wanted))
        }
        let taken = FuzzTests.threadTime - started
        print("500 services loaded, planned twice and ordered in \(taken)")
        #expect(first.count == 50)
        #expect(taken < BoundsTests.limit)
    }
}
