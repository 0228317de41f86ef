import Testing

@testable import Compose

/// Several files as one: merge, `extends`, `include`.
@Suite struct CombinationTests {
    private func merged(_ base: String, _ over: String, more: [String: String] = [:]) throws -> Value {
        var files = ["/p/over.yml": over]
        files.merge(more) { $1 }
        let project = try load(base, files: files, names: ["stack.yml", "over.yml"])
        return try #require(project.document["services"]?["a"])
    }

    @Test func `the specification's rules of merging`() throws {
        let service = try merged(
            """
            services:
              a:
                image: x
                command: [one]
                environment: {A: 1, B: 2}
                labels: [l=1]
                tty: true
                dns: [1.1.1.1]
                cap_add: [A]
                ports: ["80:8080", "53:53/udp", "90"]
                volumes: ["/x:/d", "/y:/e"]
                secrets: [s, {source: s, target: t}]
                healthcheck: {test: [CMD, a], retries: 3}
                networks: [n]
                depends_on: [b]
                logging: {driver: j, options: {a: 1}}
                deploy: {replicas: 3, placement: {constraints: [node.role==worker]}}
              b: {image: x}
            networks: {n: , m: }
            secrets: {s: {file: f}}
            """,
            """
            services:
              a:
                command: two
                environment: [B=3, C=4]
                labels: {l: 2}
                tty: false
                dns: [1.1.1.1, 2.2.2.2]
                cap_add: [A, B]
                ports: ["80:8080/tcp", "53:53"]
                volumes: ["/z:/d:ro"]
                secrets: [{source: s, target: t, mode: 0400}]
                healthcheck: {test: b}
                networks: {m: , n: {aliases: [q]}}
                depends_on: {b: {condition: service_healthy}}
                logging: {options: {b: 2}}
                deploy: {replicas: 0, placement: {constraints: [node.role==manager]}}
            """)
        #expect(service["command"]?.list?.compactMap(\.string) == ["two"])
        #expect(service["environment"]?.entries?.map { $0.key + ($0.value.string ?? "") } == ["A1", "B3", "C4"])
        #expect(service["labels"]?["l"]?.string == "2")
        #expect(service["tty"]?.bool == false)
        #expect(service["dns"]?.list?.count == 2)
        #expect(service["cap_add"]?.list?.compactMap(\.string) == ["A", "B"])
        #expect(service["ports"]?.list?.count == 4)
        #expect(service["volumes"]?.list?.compactMap { $0["source"]?.string } == ["/z", "/y"])
        #expect(service["secrets"]?.list?.map { $0["mode"]?.integer } == [nil, 0o400])
        #expect(service["healthcheck"]?["test"]?.list?.compactMap(\.string) == ["CMD-SHELL", "b"])
        #expect(service["healthcheck"]?["retries"]?.integer == 3)
        #expect(service["networks"]?.entries?.map(\.key) == ["n", "m"])
        #expect(service["depends_on"]?["b"]?["condition"]?.string == "service_healthy")
        #expect(service["logging"]?["options"]?.entries?.count == 2)
        #expect(service["deploy"]?["replicas"]?.integer == 0)
        #expect(service["deploy"]?["placement"]?["constraints"]?.list?.count == 2)
    }

    @Test func `reset takes away, override replaces`() throws {
        let service = try merged(
            """
            services:
              a: {image: x, ports: ["80:80"], environment: {A: 1, B: 2}, dns: [1.1.1.1], deploy: {replicas: 2, labels: {a: b}}, user: u}
            """,
            """
            services:
              a: {ports: !reset [], environment: {A: !reset null}, dns: !override [2.2.2.2], deploy: !override {replicas: 3}, user: !reset x}
            """)
        #expect(service["ports"] == nil && service["user"] == nil)
        #expect(service["environment"]?.entries?.map(\.key) == ["B"])
        #expect(service["dns"]?.list?.compactMap(\.string) == ["2.2.2.2"])
        #expect(service["deploy"]?.entries?.map(\.key) == ["replicas"])
    }

    @Test func `reset and override in the only file`() throws {
        let project = try load("services: {a: {image: x, tty: !reset true, dns: !override [1.1.1.1]}}")
        #expect(project.document["services"]?["a"]?.entries?.map(\.key) == ["image", "dns"])
    }

    @Test func `later files lie over the top level by key`() throws {
        let project = try load(
            "networks: {n: {driver: overlay, attachable: true}}\nx-a: {b: 1}",
            files: ["/p/over.yml": "networks: {n: {internal: true}}\nx-a: {c: 2}\nname: z"],
            names: ["stack.yml", "over.yml"])
        #expect(project.document["networks"]?["n"]?.entries?.map(\.key) == ["driver", "attachable", "internal"])
        #expect(project.document["x-a"]?.entries?.count == 2)
        #expect(project.name == "z")
    }

    @Test func `extends from the same file and from another, with paths from there`() throws {
        let project = try load(
            """
            services:
              base: {image: x, environment: {A: 1, B: 1}, dns: [1.1.1.1]}
              mid: {extends: base, environment: {B: 2}}
              top: {extends: {service: mid}, environment: {C: 3}, command: run}
              far: {extends: {file: sub/other.yml, service: remote}, environment: {D: 4}}
            """,
            files: [
                "/p/sub/other.yml":
                    "services: {remote: {extends: root, volumes: [\"./d:/d\"], env_file: r.env}, root: {image: y}}",
                "/p/sub/r.env": "R=1\n",
            ])
        let services = try #require(project.document["services"])
        #expect(
            services["top"]?["environment"]?.entries?.map { $0.key + ($0.value.string ?? "") } == [
                "A1", "B2", "C3",
            ])
        #expect(services["top"]?["image"]?.string == "x")
        #expect(services["far"]?["image"]?.string == "y")
        #expect(services["far"]?["volumes"]?.list?[0]["source"]?.string == "/p/sub/d")
        #expect(services["far"]?["environment"]?.entries?.map(\.key) == ["R", "D"])
        #expect(services.entries?.allSatisfy { $0.value["extends"] == nil } == true)
    }

    @Test func `extends in circles, of nothing, and of the outside are refused`() {
        #expect(
            errors("services: {a: {extends: b}, b: {extends: c}, c: {extends: a}}").contains {
                $0.hasSuffix("extends: service a extends itself, over 3 services")
            })
        #expect(
            errors("services: {a: {extends: zz}}") == [
                "stack.yml:1:25: services.a.extends: there is no service zz in /p/stack.yml"
            ])
        #expect(
            errors("services: {a: {extends: {file: ../x.yml, service: b}}}") == [
                "stack.yml:1:32: services.a.extends: /x.yml is outside the project's directory /p"
            ])
        #expect(
            errors("services: {a: {extends: {file: nope.yml, service: b}}}") == [
                "stack.yml:1:32: open /p/nope.yml: no such file or directory"
            ])
    }

    @Test func `include brings projects with directories and variables of their own`() throws {
        let project = try load(
            """
            include:
              - db/stack.yml
              - path: [cache/a.yml, cache/b.yml]
                env_file: cache.env
            services: {web: {image: x, depends_on: [db, cache]}}
            networks: {n: {driver: overlay}}
            """,
            files: [
                "/p/db/stack.yml":
                    "services: {db: {image: \"pg:$TAG\", volumes: [\"./data:/d\"], networks: [n]}}\nnetworks: {n: {driver: overlay}}",
                "/p/db/.env": "TAG=16\nV=theirs\n",
                "/p/cache/a.yml": "services: {cache: {image: \"redis:$TAG\", command: \"$V\"}}",
                "/p/cache/b.yml": "services: {cache: {tty: true}}",
                "/p/cache.env": "TAG=7\n",
            ])
        let services = try #require(project.document["services"])
        #expect(services["db"]?["image"]?.string == "pg:16")
        #expect(services["db"]?["volumes"]?.list?[0]["source"]?.string == "/p/db/data")
        #expect(services["cache"]?["image"]?.string == "redis:7")
        #expect(services["cache"]?["command"]?.list?[0].string == "val")
        #expect(services["cache"]?["tty"]?.bool == true)
        #expect(project.document["include"] == nil)
    }

    @Test func `include in circles, of conflicts, and of the outside is refused`() {
        #expect(
            errors("include: [a.yml]", files: ["/p/a.yml": "include: [b.yml]", "/p/b.yml": "include: [stack.yml]"])
                == [
                    "b.yml:1:11: include.0: /p/stack.yml includes itself, over 3 files"
                ])
        #expect(
            errors("include: [a.yml]\nservices: {s: {image: x}}", files: ["/p/a.yml": "services: {s: {image: y}}"])
                == [
                    "stack.yml:2:15: services.s: conflicts with what include.0 brings from a.yml:1:12"
                ])
        #expect(
            errors("include: [/etc/passwd]") == [
                "stack.yml:1:11: include.0: /etc/passwd is outside the project's directory /p"
            ])
    }

    @Test func `errors in other files are told with those files' names`() {
        #expect(
            errors("include: [a.yml]\nservices: {s: {imag: x}}", files: ["/p/a.yml": "services:\n  t: {foo: y}"])
                == [
                    "stack.yml:2:16: services.s: Additional property imag is not allowed; is image meant?",
                    "a.yml:2:7: services.t: Additional property foo is not allowed",
                ])
    }
}
