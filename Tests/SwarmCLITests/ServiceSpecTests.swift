import SwarmCLI
import SwarmClient
import SwarmCore
import SwarmModel
import Testing

/// Parses as `service create` and `service update` do, through their own declarations.
enum ServiceLine {
    static func create(
        _ words: String..., references: ReferenceTable = ReferenceTable(),
        environment: [String: String] = [:],
        file: [String] = []
    ) throws -> ServiceSpec {
        let parsed = try FlagParser(ServiceFlags.create, interspersed: false).parse(words)
        return try ServiceCreation(
            flags: parsed, arguments: parsed.arguments, references: references, environment: environment,
            fileEntries: file
        ).spec()
    }

    static func update(
        _ spec: ServiceSpec, _ words: String..., references: ReferenceTable = ReferenceTable()
    ) throws -> ServiceSpec {
        let parsed = try FlagParser(ServiceFlags.update).parse(words)
        return try ServiceChange(flags: parsed, references: references).apply(to: spec)
    }
}

@Suite struct ServiceCreationTests {
    @Test func `the least command line makes the body that docker sends`() throws {
        let spec = try ServiceLine.create(
            "--name", "web", "--replicas", "2", "busybox:latest", "sleep", "1000")
        #expect(
            try JSONValue(encoding: spec).compact
                == """
                {"EndpointSpec":{"Mode":"vip"},"Labels":{},"Mode":{"Replicated":{"Replicas":2}},"Name":"web",\
                "TaskTemplate":{"ContainerSpec":{"Args":["sleep","1000"],"DNSConfig":{},"Image":"busybox:latest",\
                "Init":false},"ForceUpdate":0,"Placement":{},"Resources":{"Limits":{},"Reservations":{}}}}
                """)
    }

    @Test func `every kind of flag finds its place`() throws {
        let references = ReferenceTable(
            networks: ["n": "id-n"], secrets: ["s": "id-s"], configs: ["c": "id-c"])
        let spec = try ServiceLine.create(
            "--label", "l=1", "--container-label", "cl=2", "-e", "A=1", "-w", "/tmp", "-u", "nobody",
            "--group", "5",
            "--mount", "src=v,dst=/d", "--network", "name=n,alias=x", "-p", "8080:80", "--secret", "s",
            "--config", "c",
            "--constraint", "node.role==worker", "--placement-pref", "spread=node.labels.z", "--limit-cpu",
            "0.5",
            "--limit-memory", "64m", "--reserve-memory", "32m", "--limit-pids", "9", "--restart-condition",
            "on-failure",
            "--restart-max-attempts", "3", "--update-parallelism", "2", "--update-order", "start-first",
            "--health-cmd",
            "true", "--health-interval", "5s", "--stop-grace-period", "3s", "--stop-signal", "SIGINT",
            "--dns", "1.1.1.1",
            "--host", "foo:1.2.3.4", "--cap-add", "net_admin", "--cap-drop", "CAP_CHOWN", "--ulimit",
            "nofile=1:2",
            "--sysctl", "a.b=1", "--init", "--read-only", "-t", "--log-driver", "json-file", "--log-opt",
            "max-size=1m",
            "--entrypoint", "sh -c", "--replicas-max-per-node", "2", "--generic-resource", "gpu=1",
            "--endpoint-mode",
            "dnsrr", "busybox", "echo", "-n", references: references)
        let task = spec.taskTemplate
        let container = try #require(task.containerSpec)
        #expect(spec.labels == ["l": "1"] && container.labels == ["cl": "2"])
        #expect(container.command == ["sh", "-c"] && container.args == ["echo", "-n"])
        #expect(container.mounts == [Mount(type: "volume", source: "v", target: "/d")])
        #expect(task.networks == [NetworkAttachmentConfig(target: "id-n", aliases: ["x"])])
        #expect(
            container.secrets == [
                SecretReference(secretID: "id-s", secretName: "s", file: ReferencedFile(name: "s"))
            ])
        #expect(
            container.configs == [
                ConfigReference(configID: "id-c", configName: "c", file: ReferencedFile(name: "c"))
            ])
        #expect(
            task.resources?.limits == ResourceLimit(nanoCPUs: 500_000_000, memoryBytes: 64 << 20, pids: 9))
        #expect(task.resources?.reservations?.memoryBytes == 32 << 20)
        #expect(
            task.restartPolicy == RestartPolicy(condition: "on-failure", delay: 5_000_000_000, maxAttempts: 3)
        )
        #expect(spec.updateConfig?.parallelism == 2 && spec.updateConfig?.order == "start-first")
        #expect(spec.rollbackConfig == nil)
        #expect(container.healthcheck == HealthConfig(test: ["CMD-SHELL", "true"], interval: 5_000_000_000))
        #expect(container.capabilityAdd == ["CAP_NET_ADMIN"] && container.capabilityDrop == ["CAP_CHOWN"])
        #expect(container.hosts == ["1.2.3.4 foo"] && container.dnsConfig?.nameservers == ["1.1.1.1"])
        #expect(container.tty == true && container.readOnly == true && container.initProcess == true)
        #expect(task.logDriver == Driver(name: "json-file", options: ["max-size": "1m"]))
        #expect(task.placement?.maxReplicas == 2 && spec.endpointSpec?.mode == "dnsrr")
    }

    @Test func `files of variables come before single ones`() throws {
        let spec = try ServiceLine.create(
            "-e", "A=2", "-e", "HOME", "busybox", environment: ["HOME": "/root"], file: ["A=1", "B=1"])
        #expect(spec.taskTemplate.containerSpec?.env == ["B=1", "A=2", "HOME=/root"])
    }

    @Test func `jobs count completions`() throws {
        let spec = try ServiceLine.create(
            "--mode", "replicated-job", "--replicas", "5", "--max-concurrent", "2", "busybox")
        #expect(spec.mode.replicatedJob == ReplicatedJobMode(maxConcurrent: 2, totalCompletions: 5))
    }

    @Test func `what does not fit together is refused`() {
        #expect(
            complaint { _ = try ServiceLine.create("--mode", "global", "--replicas", "2", "busybox") }
                == "replicas can only be used with replicated or replicated-job mode")
        #expect(
            complaint { _ = try ServiceLine.create("--no-healthcheck", "--health-cmd", "x", "busybox") }
                == "--no-healthcheck conflicts with --health-* options")
        #expect(
            complaint {
                _ = try ServiceLine.create("--mode", "global-job", "--update-delay", "1s", "busybox")
            }
                == "update and rollback configuration is not supported for jobs")
        #expect(complaint { _ = try ServiceLine.create("--secret", "s", "busybox") } == "secret not found: s")
        #expect(
            complaint { _ = try ServiceLine.create("--mode", "foo", "busybox") }
                == "Unknown mode: foo, only replicated and global supported")
    }
}

@Suite struct ServiceChangeTests {
    static func base() throws -> ServiceSpec {
        try ServiceLine.create(
            "--name", "web", "-e", "A=1", "-p", "8080:80", "--mount", "src=v,dst=/d", "--constraint",
            "node.role==worker",
            "--label", "l=1", "--cap-drop", "CHOWN", "busybox", "sleep")
    }

    @Test func `no flags change nothing`() throws {
        let spec = try Self.base()
        #expect(try ServiceLine.update(spec) == spec)
    }

    @Test func `the same addition twice changes nothing more`() throws {
        let once = try ServiceLine.update(
            try Self.base(), "--env-add", "B=2", "--constraint-add", "node.labels.a==1", "--publish-add",
            "9090:90",
            "--mount-add", "src=w,dst=/e", "--dns-add", "1.1.1.1")
        let twice = try ServiceLine.update(
            once, "--env-add", "B=2", "--constraint-add", "node.labels.a==1", "--publish-add", "9090:90",
            "--mount-add",
            "src=w,dst=/e", "--dns-add", "1.1.1.1")
        #expect(once == twice)
        #expect(once.taskTemplate.containerSpec?.env == ["A=1", "B=2"])
        #expect(once.taskTemplate.placement?.constraints == ["node.labels.a==1", "node.role==worker"])
        #expect(once.endpointSpec?.ports?.map(\.targetPort) == [80, 90])
    }

    @Test func `lists lose what is removed by its key`() throws {
        let spec = try ServiceLine.update(
            try Self.base(), "--env-rm", "A", "--mount-rm", "/d", "--publish-rm", "80", "--label-rm", "l",
            "--constraint-rm", "node.role==worker", "--env-rm", "unknown")
        #expect(spec.taskTemplate.containerSpec?.env == nil)
        #expect(spec.taskTemplate.containerSpec?.mounts == nil)
        #expect(spec.endpointSpec?.ports == nil)
        #expect(spec.labels == [:])
        #expect(spec.taskTemplate.placement?.constraints == nil)
    }

    @Test func `scalars change only where their flags are given`() throws {
        let spec = try ServiceLine.update(
            try Self.base(), "--replicas", "7", "--image", "alpine", "--args", "echo 'a b'", "--force",
            "--limit-memory", "1g",
            "--update-delay", "2s", "--restart-delay", "1s")
        #expect(spec.replicas == 7)
        #expect(spec.taskTemplate.containerSpec?.image == "alpine")
        #expect(spec.taskTemplate.containerSpec?.args == ["echo", "a b"])
        #expect(spec.taskTemplate.forceUpdate == 1)
        #expect(spec.taskTemplate.resources?.limits?.memoryBytes == 1 << 30)
        #expect(spec.updateConfig?.delay == 2_000_000_000 && spec.updateConfig?.parallelism == 1)
        #expect(spec.taskTemplate.restartPolicy == RestartPolicy(condition: "any", delay: 1_000_000_000, maxAttempts: 0))
    }

    @Test func `a capability that was dropped is only given back`() throws {
        let back = try ServiceLine.update(try Self.base(), "--cap-add", "CHOWN")
        #expect(back.taskTemplate.containerSpec?.capabilityDrop == nil)
        #expect(back.taskTemplate.containerSpec?.capabilityAdd == nil)
        let added = try ServiceLine.update(back, "--cap-add", "CHOWN")
        #expect(added.taskTemplate.containerSpec?.capabilityAdd == ["CAP_CHOWN"])
    }

    @Test func `a network is joined once`() throws {
        let references = ReferenceTable(networks: ["n": "id-n"])
        let joined = try ServiceLine.update(try Self.base(), "--network-add", "n", references: references)
        #expect(joined.taskTemplate.networks == [NetworkAttachmentConfig(target: "id-n")])
        #expect(
            complaint { _ = try ServiceLine.update(joined, "--network-add", "n", references: references) }
                == "service is already attached to network n")
        let left = try ServiceLine.update(joined, "--network-rm", "n", references: references)
        #expect(left.taskTemplate.networks == nil)
    }

    @Test func `replicas are refused for a global service`() throws {
        let global = try ServiceLine.create("--mode", "global", "busybox")
        #expect(
            complaint { _ = try ServiceLine.update(global, "--replicas", "2") }
                == "replicas can only be used with replicated mode")
    }

    @Test func `node labels are removed only where they are`() throws {
        let flags: [Flag] = [
            Flag("label-rm", .list(), ""), Flag("label-add", .list(), ""), Flag("role", .string, ""),
        ]
        let parsed = try FlagParser(flags).parse(["--label-add", "a=1", "--role", "manager"])
        let spec = try NodeChange.apply(parsed, to: NodeSpec())
        #expect(spec.labels == ["a": "1"] && spec.role == "manager")
        let missing = try FlagParser(flags).parse(["--label-rm", "zone"])
        #expect(
            complaint { _ = try NodeChange.apply(missing, to: spec) }
                == "key zone doesn't exist in node's labels")
    }

    @Test func `subnets take the ranges and gateways that lie in them`() throws {
        let names = ["subnet", "ip-range", "gateway", "aux-address"]
        let flags = names.map { Flag($0, .list(), "") }
        let parsed = try FlagParser(flags).parse([
            "--subnet", "10.1.0.0/16", "--subnet", "10.2.0.0/16", "--gateway", "10.2.0.1", "--ip-range",
            "10.1.8.0/24",
        ])
        let body = try NetworkOptions.creation(parsed, name: "n")
        #expect(
            body.IPAM.Config == [
                .init(subnet: "10.1.0.0/16", range: "10.1.8.0/24"),
                .init(subnet: "10.2.0.0/16", gateway: "10.2.0.1"),
            ])
        let wrong = try FlagParser(flags).parse(["--subnet", "10.1.0.0/16", "--gateway", "10.9.0.1"])
        #expect(
            complaint { _ = try NetworkOptions.creation(wrong, name: "n") }
                == "no matching subnet for gateway 10.9.0.1")
    }
}
