import SwarmCLI
import SwarmClient
import SwarmCore
import SwarmModel
import Testing

@Suite struct TranscriptTests {
    static let now = Timestamp(nanoseconds: 1_000_000 * 1_000_000_000)

    static func ago(_ seconds: Int64) -> Timestamp { now + .seconds(-seconds) }

    static func service(_ name: String, replicas: UInt64 = 2, ports: [PortConfig] = []) -> Service {
        var spec = ServiceSpec(name: name, mode: ServiceMode(replicated: ReplicatedMode(replicas: replicas)))
        let digest = String(repeating: "a", count: 64)
        spec.taskTemplate.containerSpec = ContainerSpec(image: "busybox:latest@sha256:\(digest)")
        return Service(
            id: "xincsa6yk9a0lbwf5a0zs125j", spec: spec, endpoint: Endpoint(ports: ports),
            serviceStatus: ServiceStatus(runningTasks: 1, desiredTasks: replicas, completedTasks: 0))
    }

    static func task(_ id: String, slot: Int, state: TaskState, age: Int64, err: String? = nil) -> SwarmTask {
        SwarmTask(
            id: id, createdAt: ago(age),
            spec: TaskSpec(containerSpec: ContainerSpec(image: "busybox:latest")),
            serviceID: "s", slot: slot, nodeID: "n",
            status: TaskStatus(timestamp: ago(age), state: state, err: err),
            desiredState: state == .running ? .running : .shutdown)
    }

    @Test func `service ls sorts naturally and merges ports`() throws {
        let ports = [
            PortConfig(proto: "tcp", targetPort: 81, publishedPort: 8081, publishMode: "ingress"),
            PortConfig(proto: "tcp", targetPort: 80, publishedPort: 8080, publishMode: "ingress"),
            PortConfig(proto: "udp", targetPort: 53, publishedPort: 53, publishMode: "ingress"),
            PortConfig(proto: "tcp", targetPort: 99, publishedPort: 99, publishMode: "host"),
        ]
        let listing = ServiceListing.listing([
            Self.service("web10"), Self.service("web2", ports: ports), Self.service("db", replicas: 1),
        ])
        #expect(
            try listing.render(format: nil) == """
                ID             NAME      MODE         REPLICAS   IMAGE            PORTS
                xincsa6yk9a0   db        replicated   1/1        busybox:latest   \("")
                xincsa6yk9a0   web2      replicated   1/2        busybox:latest   *:8080-8081->80-81/tcp, *:53->53/udp
                xincsa6yk9a0   web10     replicated   1/2        busybox:latest   \("")

                """)
        #expect(try listing.render(format: nil, quiet: true) == "xincsa6yk9a0\nxincsa6yk9a0\nxincsa6yk9a0\n")
    }

    @Test func `formats are json, templates and tables of templates`() throws {
        let listing = ServiceListing.listing([Self.service("web")])
        #expect(
            try listing.render(format: "json")
                == "{\"ID\":\"xincsa6yk9a0\",\"Image\":\"busybox:latest\",\"Mode\":\"replicated\",\"Name\":\"web\","
                + "\"Ports\":\"\",\"Replicas\":\"1/2\"}\n")
        #expect(try listing.render(format: "{{.Name}} {{.Replicas}}") == "web 1/2\n")
        #expect(
            try listing.render(format: "table {{.Name}}\\t{{.Replicas}}")
                == "NAME      REPLICAS\nweb       1/2\n")
        #expect(throws: CommandFailure.self) { try listing.render(format: "{{.Nope}}") }
        let failure = #expect(throws: CommandFailure.self) { try listing.render(format: "{{.Name") }
        #expect(failure?.status == 1)
        let files = FileVerbs.listing(
            [Secret(id: "i", spec: SecretSpec(name: "s<1>", labels: ["disk": "ssd"]))], showsDriver: false, now: Self.now)
        #expect(try files.render(format: "{{.Label \"disk\"}}|{{.Label \"other\"}}") == "ssd|\n")
        #expect(try files.render(format: "{{json .Name}}") == "\"s<1>\"\n")
        #expect(try files.render(format: "json").contains("\"Name\":\"s\\u003c1\\u003e\""))
        #expect(try !files.render(format: "json").contains("Driver"))
    }

    @Test func `service ps hangs older tasks under the newest and cuts errors`() throws {
        let listing = TaskListing(
            serviceNames: ["s": "web"], nodeNames: ["n": "node1"], truncates: true, now: Self.now)
        let tasks = [
            Self.task(
                "aaaaaaaaaaaaaaaaaaaaaaaaa", slot: 1, state: .failed, age: 300,
                err: "task: non-zero exit (1): and more words"),
            Self.task("bbbbbbbbbbbbbbbbbbbbbbbbb", slot: 1, state: .running, age: 20),
            Self.task("ccccccccccccccccccccccccc", slot: 10, state: .running, age: 7200),
            Self.task("ddddddddddddddddddddddddd", slot: 2, state: .running, age: 61),
        ]
        #expect(
            try listing.listing(tasks).render(format: nil) == """
                ID             NAME        IMAGE            NODE      DESIRED STATE   CURRENT STATE                ERROR                              PORTS
                bbbbbbbbbbbb   web.1       busybox:latest   node1     Running         Running 20 seconds ago                                          \("")
                aaaaaaaaaaaa    \\_ web.1   busybox:latest   node1     Shutdown        Failed 5 minutes ago         "task: non-zero exit (1): and …"   \("")
                dddddddddddd   web.2       busybox:latest   node1     Running         Running about a minute ago                                      \("")
                cccccccccccc   web.10      busybox:latest   node1     Running         Running 2 hours ago                                             \("")

                """)
        #expect(
            try listing.listing([tasks[1]]).render(format: nil, quiet: true) == "bbbbbbbbbbbbbbbbbbbbbbbbb\n")
        // Templates get the bare names.
        #expect(
            try listing.listing(Array(tasks.prefix(2)), indents: false).render(format: "{{.Name}}") == "web.1\nweb.1\n")
    }

    @Test func `node ls marks the node that answers`() throws {
        let nodes = [
            Node(
                id: "137dszl0zfllgi2c9edvrm5d6", spec: NodeSpec(role: "manager"),
                description: NodeDescription(
                    hostname: "node1", engine: EngineDescription(engineVersion: "0.1.0")),
                status: NodeStatus(state: "ready"),
                managerStatus: ManagerStatus(leader: true, reachability: "reachable")),
            Node(
                id: "237dszl0zfllgi2c9edvrm5d6", spec: NodeSpec(availability: "drain"),
                description: NodeDescription(hostname: "node2"), status: NodeStatus(state: "down")),
        ]
        let listing = NodeListing.listing(nodes, own: "137dszl0zfllgi2c9edvrm5d6", trust: nil)
        #expect(
            try listing.render(format: nil) == """
                ID                            HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION
                137dszl0zfllgi2c9edvrm5d6 *   node1      Ready     Active         Leader           0.1.0
                237dszl0zfllgi2c9edvrm5d6     node2      Down      Drain                           \("")

                """)
        #expect(try listing.render(format: "{{.Status}}") == "Ready\nDown\n")
        #expect(try !listing.render(format: "json").contains("Marked"))
    }

    @Test func `log lines carry the task's name, padded to the widest`() throws {
        let names = TaskNames(tasks: ["t": "web.1", "u": "web.10"], nodes: ["n": "node1"])
        let flags = try FlagParser([Flag("no-task-ids", .bool, "")]).parse(["--no-task-ids"])
        var writer = TaskLogWriter(names: names, flags: flags)
        func line(_ task: String, _ text: String) throws -> String {
            let details =
                "com.docker.swarm.node.id=n,com.docker.swarm.service.id=s,com.docker.swarm.task.id=\(task)"
            return String(decoding: try writer.line(Array("\(details) \(text)".utf8)), as: UTF8.self)
        }
        #expect(try line("u", "hello there") == "web.10@node1    | hello there")
        #expect(try line("t", "hi") == "web.1@node1     | hi")
        #expect(
            complaint { _ = try writer.line(Array("nothing known".utf8)) }?.hasPrefix("missing node id")
                == true)
    }

    @Test func `inspect prints members in the engine's order`() throws {
        let value = try JSONValue(
            parsing: Array(#"{"Spec":{"Labels":{"b":"1","a":"2"},"Name":"x"},"ID":"i","Args":[]}"#.utf8))
        #expect(
            try Inspection.render([value], format: nil) == """
                [
                    {
                        "Spec": {
                            "Labels": {
                                "b": "1",
                                "a": "2"
                            },
                            "Name": "x"
                        },
                        "ID": "i",
                        "Args": []
                    }
                ]

                """)
        #expect(try Inspection.render([value], format: "{{.Spec.Name}}") == "x\n")
        #expect(
            try Inspection.render([value], format: "{{json .Spec}} {{json .}}")
                == #"{"Labels":{"b":"1","a":"2"},"Name":"x"} {"Spec":{"Labels":{"b":"1","a":"2"},"Name":"x"},"ID":"i","Args":[]}"#
                + "\n")
        let failure = #expect(throws: CommandFailure.self) { try Inspection.render([value], format: "{{.ID.x}}") }
        #expect(failure?.message.hasPrefix("template parsing error: template: :1:") == true)
    }

    @Test func `ages are rounded as docker rounds them`() {
        let expected: [(Int64, String)] = [
            (0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"),
            (150, "2 minutes"),
            (3600, "About an hour"), (7200, "2 hours"), (172_800, "2 days"), (1_209_600, "2 weeks"),
            (7_776_000, "3 months"),
            (94_608_000, "3 years"),
        ]
        for (seconds, text) in expected { #expect(Age.text(.seconds(seconds)) == text) }
    }

    @Test func `pull progress is one line for each change where nothing is redrawn`() throws {
        var progress = PullProgress(isTerminal: false)
        func show(_ text: String) throws -> String {
            progress.text(for: try JSONValue(parsing: Array(text.utf8)))
        }
        #expect(
            try show(#"{"status":"Pulling from library/busybox","id":"latest"}"#)
                == "latest: Pulling from library/busybox\n")
        #expect(
            try show(#"{"status":"Downloading","id":"a","progressDetail":{"current":1,"total":9}}"#)
                == "a: Downloading\n")
        #expect(
            try show(#"{"status":"Downloading","id":"a","progressDetail":{"current":5,"total":9}}"#) == "")
        #expect(try show(#"{"status":"Pull complete","id":"a"}"#) == "a: Pull complete\n")
        #expect(try show(#"{"stream":"Loaded image: busybox\n"}"#) == "Loaded image: busybox\n")
    }

    @Test func `logins are found by registry`() throws {
        let configuration = Array(#"{"auths":{"r.example:5000":{"auth":"dTpw"}}}"#.utf8)
        let header = try #require(
            RegistryLogin.header(server: "r.example:5000", configuration: configuration))
        #expect(!header.contains("+") && !header.contains("/"))
        #expect(RegistryLogin.header(server: "other", configuration: configuration) == nil)
    }
}
