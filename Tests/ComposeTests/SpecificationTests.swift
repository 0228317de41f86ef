import SwarmModel
import Testing

@testable import Compose

/// What the Compose Specification has and Docker's stack files have not.
@Suite struct SpecificationTests {
    @Test func `a name, profiles, and what only belongs to others`() throws {
        let text = """
            name: shop
            services:
              web: {image: x}
              debug: {image: x, profiles: [debug, all]}
            """
        #expect(try load(text).name == "shop")
        #expect(try load(text).document["services"]?.entries?.map(\.key) == ["web"])
        #expect(try load(text, profiles: ["all"]).document["services"]?.entries?.count == 2)
        #expect(try load(text, profiles: ["*"]).document["services"]?.entries?.count == 2)
        #expect(
            try load(text, environment: ["COMPOSE_PROFILES": "x,debug"]).document["services"]?.entries?.count == 2)
    }

    @Test func `quoted numbers and booleans are what they say`() throws {
        let spec = try specs(
            """
            services:
              a:
                image: x
                tty: "true"
                ports: [{target: "80", published: "8080", name: web}]
                deploy: {replicas: "3", resources: {limits: {cpus: 0.5, memory: 1048576, pids: "7"}}}
                healthcheck: {test: x, retries: "4"}
                ulimits: {nofile: "5"}
                secrets: [{source: s, mode: "0400"}]
            secrets: {s: {content: hush}}
            """
        ).services[0].spec
        #expect(spec.mode.replicated?.replicas == 3)
        #expect(spec.taskTemplate.containerSpec?.tty == true)
        #expect(spec.endpointSpec?.ports == [PortConfig(name: "web", targetPort: 80, publishedPort: 8080)])
        #expect(
            spec.taskTemplate.resources?.limits
                == ResourceLimit(nanoCPUs: 500_000_000, memoryBytes: 1 << 20, pids: 7))
        #expect(spec.taskTemplate.containerSpec?.healthcheck?.retries == 4)
        #expect(spec.taskTemplate.containerSpec?.ulimits == [Ulimit(name: "nofile", hard: 5, soft: 5)])
        #expect(spec.taskTemplate.containerSpec?.secrets?[0].file?.mode == 0o400)
    }

    @Test func `depends_on with conditions orders services`() throws {
        let specs = try specs(
            """
            services:
              web: {image: x, depends_on: {db: {condition: service_healthy, restart: true}, init: {condition: service_completed_successfully}}}
              init: {image: x, depends_on: [db]}
              db: {image: x}
              a: {image: x, depends_on: {gone: {required: false}}}
            """)
        #expect(specs.servicesInOrder.map(\.key) == ["a", "db", "init", "web"])
        #expect(
            specs.services.first { $0.key == "web" }?.dependencies == [
                .init(service: "db", condition: .healthy, restarts: true, isRequired: true),
                .init(service: "init", condition: .completed, restarts: false, isRequired: true),
            ])
    }

    @Test func `configs and secrets hold text and variables`() throws {
        let specs = try specs(
            """
            services: {a: {image: x, configs: [c, e], secrets: [s]}}
            configs: {c: {content: "v=$V\\n"}, e: {environment: V}}
            secrets: {s: {environment: V, labels: {l: m}}}
            """)
        #expect(
            specs.configs.map(\.data) == [Base64.encode(Array("v=val\n".utf8)), Base64.encode(Array("val".utf8))])
        #expect(specs.secrets.map(\.data) == ["dmFs"])
        #expect(specs.secrets[0].labels == ["l": "m", "com.docker.stack.namespace": "st"])
    }

    @Test func `long env_file, label_file, and files that need not be there`() throws {
        let files = ["/p/a.env": "A=1\nQ=\"q $V\"\n", "/p/l.env": "x=1\ny=2\n", "/p/raw.env": "R=\"$V\"\n"]
        let project = try load(
            """
            services:
              a:
                image: x
                env_file: [{path: a.env}, {path: none.env, required: false}, {path: raw.env, format: raw}]
                environment: {A: 2}
                label_file: l.env
                labels: {y: 3}
            """, files: files)
        let service = try #require(project.document["services"]?["a"])
        #expect(
            service["environment"]?.entries?.map { "\($0.key)=\($0.value.string ?? "-")" } == [
                "A=2", "Q=q val", "R=\"$V\"",
            ])
        #expect(service["labels"]?.entries?.map { "\($0.key)=\($0.value.string ?? "-")" } == ["x=1", "y=3"])
        #expect(
            errors("services: {a: {image: x, env_file: [{path: none.env}]}}") == [
                "stack.yml:1:37: services.a.env_file: open /p/none.env: no such file or directory"
            ])
    }

    @Test func `a short env_file is read as Docker reads it, with a word about quotes`() throws {
        let project = try load("services: {a: {image: x, env_file: a.env}}", files: ["/p/a.env": "Q=\"q\"\n"])
        #expect(project.document["services"]?["a"]?["environment"]?["Q"]?.string == "\"q\"")
        #expect(project.warnings.map(\.path) == ["services.a.env_file"])
        let richer = try load("services: {a: {image: x, env_file: a.env}}", files: ["/p/a.env": "export Q=\"q\"\n"])
        #expect(richer.document["services"]?["a"]?["environment"]?["Q"]?.string == "q")
    }

    @Test func `ipam in full, and both kinds of addresses`() throws {
        let network = try specs(
            """
            services: {a: {image: x, networks: [n]}}
            networks:
              n:
                enable_ipv6: true
                ipam: {driver: default, options: {o: 1}, config: [{subnet: 10.1.0.0/16, ip_range: 10.1.5.0/24, gateway: 10.1.0.1, aux_addresses: {h: 10.1.0.2}}]}
            """
        ).networks[0]
        #expect(network.ipv6Enabled == true)
        #expect(
            network.ipamOptions
                == IPAM(
                    driver: Driver(name: "default", options: ["o": "1"]),
                    configs: [
                        IPAMConfig(
                            subnet: "10.1.0.0/16", range: "10.1.5.0/24", gateway: "10.1.0.1",
                            auxiliaryAddresses: ["h": "10.1.0.2"])
                    ]))
    }

    @Test func `keys of docker compose that mean something in a swarm`() throws {
        let service = try specs(
            """
            services:
              a:
                image: x
                platform: linux/arm64/v8
                tmpfs: [/run, "/tmp:size=64m,mode=1777,noexec"]
                group_add: [5, wheel]
                dns_opt: [ndots:2]
                mem_limit: 64m
                mem_reservation: 32m
                cpus: 1.5
                pids_limit: 9
                scale: 4
                restart: "no"
                oom_score_adj: -5
                volumes: [{type: bind, source: ./d, target: /d, bind: {create_host_path: true}}, {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0700}}]
            """
        ).services[0].spec
        let container = try #require(service.taskTemplate.containerSpec)
        #expect(service.taskTemplate.placement?.platforms == [Platform(architecture: "arm64", os: "linux")])
        #expect(container.groups == ["5", "wheel"])
        #expect(container.dnsConfig?.options == ["ndots:2"])
        #expect(container.oomScoreAdj == -5)
        #expect(service.mode.replicated?.replicas == 4)
        #expect(service.taskTemplate.restartPolicy?.condition == "none")
        #expect(
            service.taskTemplate.resources
                == ResourceRequirements(
                    limits: ResourceLimit(nanoCPUs: 1_500_000_000, memoryBytes: 64 << 20, pids: 9),
                    reservations: Resources(memoryBytes: 32 << 20)))
        #expect(
            container.mounts == [
                Mount(type: "bind", source: "/p/d", target: "/d", bindOptions: BindOptions(createMountpoint: true)),
                Mount(type: "tmpfs", target: "/t", tmpfsOptions: TmpfsOptions(sizeBytes: 1 << 20, mode: 0o700)),
                Mount(type: "tmpfs", target: "/run"),
                Mount(
                    type: "tmpfs", target: "/tmp",
                    tmpfsOptions: TmpfsOptions(sizeBytes: 64 << 20, mode: 0o1777, options: [["noexec"]])),
            ])
    }

    @Test func `every key without meaning is warned of by its place`() throws {
        for row in ServiceShape.object.rows {
            guard let why = row.meaningless, row.key != "build" else { continue }
            let sample =
                switch row.shape {
                case .boolean: "true"
                case .list, .expose: "[\"80\"]"
                case .keyValues: "{a: b}"
                default: "\"1\""
                }
            let project = try load("services:\n  a:\n    image: x\n    \(row.key): \(sample)\n")
            #expect(
                project.warnings.map(\.description) == [
                    "stack.yml:4:5: services.a.\(row.key): has no meaning in a swarm: \(why)"
                ])
        }
    }

    @Test func `all errors are told at once, in the order of the lines`() {
        let text = """
            services:
              web:
                image: x
                imge: y
                ports: [foo, {target: x}]
                deploy: {replicas: many, update_config: {order: sideways}}
              db: 5
            networks: {n: {ipam: {config: 1}}}
            secrets: {s: {}}
            foo: bar
            """
        #expect(
            errors(text) == [
                "stack.yml:4:5: services.web: Additional property imge is not allowed; is image meant?",
                "stack.yml:5:13: services.web.ports.0: is no port such as 8080:80, 8000-8002:80-82/udp: foo",
                "stack.yml:5:27: services.web.ports.1.target: must be an integer, not a string",
                "stack.yml:6:24: services.web.deploy.replicas: must be an integer, not a string",
                "stack.yml:6:53: services.web.deploy.update_config.order: must be one of the following: \"start-first\", \"stop-first\"",
                "stack.yml:7:7: services.db: must be a mapping, not an integer",
                "stack.yml:8:31: networks.n.ipam.config: must be a list, not an integer",
                "stack.yml:10:1: (root): Additional property foo is not allowed",
            ])
    }

    @Test func `names that lead nowhere are told with their places`() {
        let text = """
            services:
              a: {image: x, networks: [n], volumes: ["vol:/v"], secrets: [s], configs: [{source: c}], depends_on: [b]}
            secrets: {t: {file: x, content: y}, u: {}}
            """
        #expect(
            errors(text) == [
                "stack.yml:2:28: services.a.networks: undefined network \"n\"",
                "stack.yml:2:42: services.a.volumes.0: undefined volume \"vol\"",
                "stack.yml:2:63: services.a.secrets.0: undefined secret \"s\"",
                "stack.yml:2:77: services.a.configs.0: undefined config \"c\"",
                "stack.yml:2:104: services.a.depends_on: undefined service \"b\"",
                "stack.yml:3:11: secrets.t: file and content cannot both say what the secret holds",
                "stack.yml:3:37: secrets.u: needs one of file, environment, content or external",
            ])
    }

    @Test func `a circle of dependencies is told whole`() {
        let text =
            "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [c]}, c: {image: x, depends_on: [a]}}"
        #expect(errors(text) == ["stack.yml:1:103: services.c.depends_on: dependency cycle: a -> b -> c -> a"])
    }

    @Test func `standard input, absent files and no files at all`() throws {
        #expect(
            try load("", files: ["-": "services: {a: {image: x}}"], names: ["-"]).document["services"]?["a"] != nil)
        #expect(errors("", names: ["nope.yml"]) == ["open /p/nope.yml: no such file or directory"])
        #expect(errors("", names: []) == ["Specify a Compose file (with --compose-file)"])
    }
}
