import SwarmCore
import SwarmModel
import Testing

@testable import Compose

@Suite struct VersionTests {
    static func file(_ content: String) -> String {
        """
        services:
          web: {image: x, configs: [c], secrets: [s]}
        configs: {c: {content: \(content)}}
        secrets: {s: {environment: S}}
        """
    }

    /// A stack as it is after deploying, secrets' data not given away.
    static func deployed(_ specs: StackSpecs, over old: StackState = StackState()) -> StackState {
        var state = old
        state.networks = specs.networks.map { Network(id: "id-\($0.name)", spec: $0) }
        for spec in specs.configs where !state.configs.contains(where: { $0.spec.name == spec.name }) {
            state.configs.append(Config(id: "id-\(spec.name)", spec: spec))
        }
        for spec in specs.secrets where !state.secrets.contains(where: { $0.spec.name == spec.name }) {
            var spec = spec
            spec.data = nil
            state.secrets.append(Secret(id: "id-\(spec.name)", spec: spec))
        }
        let secrets = Dictionary(uniqueKeysWithValues: state.secrets.map { ($0.spec.name, $0.id) })
        let configs = Dictionary(uniqueKeysWithValues: state.configs.map { ($0.spec.name, $0.id) })
        state.services = specs.services.map { service in
            let spec = service.spec.referring(toSecrets: secrets, configs: configs).spec
            return Service(id: "id-\(spec.name)", spec: spec)
        }
        return state
    }

    private func specs(_ content: String) throws -> StackSpecs {
        try load(Self.file(content), environment: ["S": "hush"]).specs(stack: "st", from: FilesInMemory())
    }

    private func container(_ specs: StackSpecs) -> ContainerSpec? {
        specs.services[0].spec.taskTemplate.containerSpec
    }

    @Test func `the first version has Docker's name, later ones a number and a label`() throws {
        let first = StackVersions.resolve(try specs("one"), over: StackState())
        #expect(first.configs.map(\.name) == ["st_c"])
        #expect(first.configs[0].labels?[StackLabel.versionOf] == nil)
        var state = Self.deployed(first)
        let second = StackVersions.resolve(try specs("two"), over: state, sameSecrets: ["id-st_s"])
        #expect(second.configs.map(\.name) == ["st_c.2"])
        #expect(second.configs[0].labels?[StackLabel.versionOf] == "st_c")
        #expect(container(second)?.configs?.map(\.configName) == ["st_c.2"])
        // The file that the container sees keeps its name.
        #expect(container(second)?.configs?.first?.file?.name == container(first)?.configs?.first?.file?.name)
        #expect(second.secrets.map(\.name) == ["st_s"])
        state = Self.deployed(second, over: state)
        let third = StackVersions.resolve(try specs("three"), over: state, sameSecrets: ["id-st_s"])
        #expect(third.configs.map(\.name) == ["st_c.3"])
        // What was there before is found again, whichever version it is.
        let again = StackVersions.resolve(try specs("one"), over: state, sameSecrets: ["id-st_s"])
        #expect(again.configs.map(\.name) == ["st_c"])
    }

    @Test func `a secret whose content is not known to be the same gets a version`() throws {
        let state = Self.deployed(StackVersions.resolve(try specs("one"), over: StackState()))
        let next = StackVersions.resolve(try specs("one"), over: state)
        #expect(next.secrets.map(\.name) == ["st_s.2"])
        #expect(container(next)?.secrets?.map(\.secretName) == ["st_s.2"])
        #expect(StackPlan(next, over: state).lines.prefix(1) == ["± secret st_s (version st_s.2)"])
    }

    @Test func `names stay within the engine's bound, and out of each other's way`() throws {
        let long = String(repeating: "x", count: 64)
        var specs = StackSpecs(namespace: "st")
        specs.configs = [ConfigSpec(name: long, data: "Yg==")]
        var state = StackState()
        state.configs = [
            Config(id: "1", spec: ConfigSpec(name: long, data: "YQ==")),
            Config(id: "2", spec: ConfigSpec(name: long.dropLast(2) + ".2", data: "Yg==")),
        ]
        let name = StackVersions.resolve(specs, over: state).configs[0].name
        #expect(name == long.dropLast(2) + ".3")
    }

    @Test func `deploying the same again changes nothing, whatever version is current`() throws {
        var state = Self.deployed(StackVersions.resolve(try specs("one"), over: StackState()))
        for content in ["two", "three", "two", "one"] {
            let next = StackVersions.resolve(try specs(content), over: state, sameSecrets: ["id-st_s"])
            #expect(!StackPlan(next, over: state, prune: .everything).isEmpty)
            state = Self.deployed(next, over: state)
            let same = StackVersions.resolve(try specs(content), over: state, sameSecrets: ["id-st_s"])
            #expect(StackPlan(same, over: state, prune: .everything).changes == [])
        }
    }

    @Test func `a new version is told as the old one's replacement, and restarts its users`() throws {
        let state = Self.deployed(StackVersions.resolve(try specs("one"), over: StackState()))
        let next = StackVersions.resolve(try specs("three"), over: state, sameSecrets: ["id-st_s"])
        let plan = StackPlan(next, over: state)
        #expect(
            plan.lines.prefix(3) == [
                "± config st_c (version st_c.2)", "    Data: 3 bytes -> 5 bytes",
                "~ service st_web (tasks restart)",
            ])
        #expect(plan.changes.first?.object == "st_c.2")
    }

    @Test func `versions are kept while a service, what it was before, a task or a revision needs them`()
        throws
    {
        var state = StackState()
        for content in ["one", "two", "three", "four", "five", "six"] {
            state = Self.deployed(
                StackVersions.resolve(try specs(content), over: state, sameSecrets: ["id-st_s"]), over: state)
        }
        func task(_ config: String, _ status: TaskState) -> SwarmTask {
            var spec = TaskSpec(containerSpec: ContainerSpec(image: "x"))
            spec.containerSpec?.configs = [ConfigReference(configID: "id-\(config)", configName: config)]
            var task = SwarmTask(id: "t-\(config)", spec: spec)
            task.status.state = status
            return task
        }
        state.services[0].previousSpec = state.services[0].spec
        state.services[0].previousSpec?.taskTemplate = task("st_c.2", .running).spec
        let revision = Revision(
            1, of: StackVersions.resolve(try specs("three"), over: state, sameSecrets: ["id-st_s"]))
        let needs = StackNeeds(
            services: state.services, tasks: [task("st_c.4", .running), task("st_c.5", .shutdown)],
            revisions: [revision])
        let old = StackVersions.superseded(configs: state.configs, "st", needs: needs)
        #expect(old.map(\.spec.name) == ["st_c", "st_c.5"])
        #expect(StackVersions.superseded(configs: state.configs, "other", needs: needs).isEmpty)
        #expect(StackVersions.superseded(secrets: state.secrets, "st", needs: needs).isEmpty)
    }

    @Test func `a revision brings back what was deployed, by names alone`() throws {
        let first = StackVersions.resolve(try specs("one"), over: StackState())
        var state = Self.deployed(first)
        let second = StackVersions.resolve(try specs("two"), over: state, sameSecrets: ["id-st_s"])
        state = Self.deployed(second, over: state)
        let (old, new) = (Revision(1, of: first), Revision(2, of: second))
        #expect(old.configs.allSatisfy { $0.data == nil } && old.secrets.allSatisfy { $0.data == nil })
        #expect(old.missing(from: state) == [])
        #expect(old.missing(from: StackState()) == ["secret st_s", "config st_c"])
        let plan = StackPlan(old.specs, over: state, prune: .everything)
        #expect(plan.touchedServices == ["st_web"])
        #expect(plan.services["st_web"]?.fileNames == ["secret st_s", "config st_c"])
        #expect(plan.changes.map(\.kind) == [.service])
        #expect(StackPlan(new.specs, over: state, prune: .everything).isEmpty)
        #expect(!old.isSame(as: new) && old.isSame(as: Revision(7, of: first)))
        #expect(
            old.plan(to: new).lines.prefix(2) == [
                "± config st_c (version st_c.2)", "~ service st_web (tasks restart)",
            ])
    }

    @Test func `pruning spares what a revision needs`() throws {
        let state = Self.deployed(StackVersions.resolve(try specs("one"), over: StackState()))
        let empty = StackSpecs(namespace: "st")
        let needs = StackNeeds(
            services: [], tasks: [],
            revisions: [Revision(1, of: StackVersions.resolve(try specs("one"), over: state))])
        let plan = StackPlan(empty, over: state, prune: .everything, needs: needs)
        #expect(
            plan.lines == [
                "- service st_web", "- secret st_s", "= config st_c (in no file; kept for a revision)",
                "- network st_default",
            ])
    }

    @Test func `an engine's own choices for a network are no difference`() throws {
        let text = """
            services: {web: {image: x}}
            networks: {default: {ipam: {config: [{subnet: 10.1.0.0/16}]}}}
            """
        let wanted = try load(text).specs(stack: "st", from: FilesInMemory())
        var spec = wanted.networks[0]
        spec.driverConfiguration = Driver(
            name: "overlay", options: ["com.docker.network.driver.overlay.vxlanid_list": "4097"])
        spec.ipamOptions = IPAM(
            driver: Driver(name: "default"), configs: [IPAMConfig(subnet: "10.1.0.0/16", gateway: "10.1.0.1")]
        )
        (spec.ipv6Enabled, spec.scope) = (false, "swarm")
        #expect(
            StackPlan(wanted, over: StackState(networks: [Network(id: "n", spec: spec)])).lines == [
                "+ service st_web"
            ])
        spec.ipamOptions?.configs?[0].subnet = "10.2.0.0/16"
        #expect(
            StackPlan(wanted, over: StackState(networks: [Network(id: "n", spec: spec)])).changes.first?
                .fields.count == 1)
    }
}
