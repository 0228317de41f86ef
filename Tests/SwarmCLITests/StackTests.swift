import Compose
import Foundation
import SwarmClient
import SwarmCore
import SwarmModel
import Testing

@testable import SwarmCLI

@Suite struct StackTests {
    /// A directory of its own with files by name; gone with the value.
    final class Folder {
        let path: String

        init(_ files: [String: String] = [:]) throws {
            path = NSTemporaryDirectory() + "/stack-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            for (name, text) in files {
                try text.write(toFile: "\(path)/\(name)", atomically: false, encoding: .utf8)
            }
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    /// Runs a command line that needs no engine; its words go to files and come back.
    private func run(_ words: [String], environment: [String: String] = [:]) async throws -> (
        status: Int32, output: String, errors: String
    ) {
        let folder = try Folder(["out": "", "err": ""])
        let output = open("\(folder.path)/out", O_WRONLY)
        let errors = open("\(folder.path)/err", O_WRONLY)
        defer {
            close(output)
            close(errors)
        }
        let console = Console(output: output, errors: errors)
        let status = await SwarmCommand.run(
            ["-H", "unix:///nowhere.sock"] + words, console: console, environment: environment)
        console.flush()
        return (
            status, try String(contentsOfFile: "\(folder.path)/out", encoding: .utf8),
            try String(contentsOfFile: "\(folder.path)/err", encoding: .utf8)
        )
    }

    @Test func `stack config prints the merged file, and needs no engine`() async throws {
        let folder = try Folder([
            "a.yml": "services: {web: {image: \"x:${TAG:-1}\", environment: [A=1]}}",
            "b.yml": "services: {web: {environment: [B=2]}}",
        ])
        let files = "\(folder.path)/a.yml,\(folder.path)/b.yml"
        let both = try await run(["stack", "config", "-c", files], environment: ["TAG": "2"])
        #expect(both.status == 0 && both.errors == "")
        #expect(
            both.output.contains("image: x:2") && both.output.contains("A: \"1\"")
                && both.output.contains("B: \"2\""))
        let raw = try await run(["stack", "config", "--skip-interpolation", "-c", files])
        #expect(raw.output.contains("image: x:${TAG:-1}"))
    }

    @Test func `a file's errors are told with places, all at once`() async throws {
        let folder = try Folder(["a.yml": "services:\n  web: {image: 1, wrong: 2}\n  db: {ports: [x]}\n"])
        let refused = try await run(["stack", "config", "-c", "\(folder.path)/a.yml"])
        #expect(refused.status == 1 && refused.output == "")
        #expect(refused.errors.contains("a.yml:2:") && refused.errors.contains("a.yml:3:"))
        #expect(
            try await run(["stack", "config"]).errors == "Specify a Compose file (with --compose-file)\n")
    }

    @Test func `flags that cannot be understood end with the usage's status`() async throws {
        let refused = try await run(["stack", "deploy", "--resolve-image", "foo", "-c", "x", "st"])
        #expect(refused.status == CommandFailure.usageStatus && refused.errors.contains("Invalid option foo"))
        #expect(
            try await run(["stack", "deploy", "--timeout", "-1s", "st"]).status == CommandFailure.usageStatus)
        #expect(try await run(["stack", "rm"]).status == 1)
    }

    @Test func `a stack without a name is refused before the engine is asked`() async throws {
        let folder = try Folder(["a.yml": "services: {web: {image: x}}"])
        let refused = try await run(["stack", "plan", "-c", "\(folder.path)/a.yml"])
        #expect(refused.status == 1 && refused.errors.contains("the stack has no name"))
    }

    @Test func `only ordinary files are read, as far as asked`() throws {
        let folder = try Folder(["a": "12345"])
        let disk = StackDisk()
        #expect(try disk.read("\(folder.path)/a", atMost: 5) == Array("12345".utf8))
        #expect(try disk.read("\(folder.path)/a", atMost: 3).count == 4, "one more tells that there is more")
        #expect(mkfifo("\(folder.path)/pipe", 0o600) == 0)
        for (name, reason) in [
            ("pipe", "no ordinary file"), ("", "is a directory"), ("none", "no such file"),
        ] {
            let error = #expect(throws: SwarmError.self) {
                try disk.read("\(folder.path)/\(name)", atMost: 5)
            }
            #expect(error?.message.contains(reason) == true)
        }
        #expect(throws: SwarmError.self) { try disk.read("/dev/zero", atMost: 5) }
    }

    @Test func `a link that leads out of the project is no way around its bounds`() async throws {
        let outside = try Folder(["b.yml": "services: {b: {image: x}}"])
        let folder = try Folder(["a.yml": "include: [link/b.yml]\nservices: {a: {image: x}}"])
        #expect(symlink(outside.path, "\(folder.path)/link") == 0)
        let refused = try await run(["stack", "config", "-c", "\(folder.path)/a.yml"])
        #expect(refused.status == 1 && refused.errors.contains("outside the project's directory"))
        let allowed = try await run(["stack", "config", "--allow-outside", "-c", "\(folder.path)/a.yml"])
        #expect(allowed.status == 0 && allowed.output.contains("image: x"))
    }

    @Test func `hostile files are refused in words within a second`() async throws {
        let laughs = (1...9).reduce("a0: &a0 [x,x,x,x,x,x,x,x,x]\n") {
            $0 + "a\($1): &a\($1) [" + Array(repeating: "*a\($1 - 1)", count: 9).joined(separator: ",")
                + "]\n"
        }
        let folder = try Folder([
            "laughs.yml": laughs, "large.yml": "x-a: " + String(repeating: "y", count: 10 << 20),
            "loop.yml": "include: [loop.yml]", "deep.yml": String(repeating: "[", count: 100_000),
            "self.yml": "services: {a: {extends: {service: b}}, b: {extends: {service: a}}}",
            "out.yml": "include: [../../../../etc/passwd]",
        ])
        for name in ["laughs", "large", "loop", "deep", "self", "out"] {
            let path = "\(folder.path)/\(name).yml"
            // Loading alone is timed: the rest waits for the threads that other tests keep busy.
            let taken = ContinuousClock().measure {
                #expect(throws: StackFileErrors.self, "\(name)") {
                    _ = try StackLoader.load([path], StackOptions(workingDirectory: "/"), from: StackDisk())
                }
            }
            #expect(taken < .seconds(3), "\(name), without the optimiser")
            let refused = try await run(["stack", "config", "-c", path])
            #expect(refused.status == 1 && refused.output == "" && !refused.errors.isEmpty, "\(name)")
        }
    }

    @Test func `an unfinished deployment says what was done`() {
        var account = StackAccount()
        account.current = "network st_default"
        #expect(account.words("st", "no") == "stack st: network st_default: no\nNothing was changed.")
        account.finish("created")
        account.current = "config st_c"
        let words = account.words("st", "no")
        #expect(
            words.contains("deployed in part: config st_c: no")
                && words.contains("  created network st_default"))
        #expect(!words.contains("rollback"))
        account.finish("created")
        account.revision = 2
        #expect(account.words("st", "no").contains("`swarmctl stack rollback st`"))
    }

    @Test func `a revision survives being kept`() throws {
        let file = """
            services: {web: {image: x, configs: [c], depends_on: {db: {condition: service_healthy, restart: true}}}, db: {image: y}}
            configs: {c: {content: hi}}
            """
        let disk = FilesInMemory(["/p/a.yml": file])
        let project = try StackLoader.load(["a.yml"], StackOptions(workingDirectory: "/p"), from: disk)
        let specs = try project.specs(stack: "st", from: disk)
        let revision = Revision(3, of: specs)
        let text = Data(try JSONValue(encoding: revision).compact.utf8).base64EncodedString()
        let labels = RevisionConfig.labels(stack: "st", number: 3, author: "me@here", origin: "deploy")
        let config = Config(id: "c", spec: ConfigSpec(name: "st.revision-3", labels: labels, data: text))
        let record = try #require(RevisionRecord(config))
        #expect(record.revision == revision && record.author == "me@here" && record.origin == "deploy")
        #expect(record.revision.configs.map(\.data) == [nil])
        #expect(RevisionRecord(Config(id: "c", spec: ConfigSpec(name: "c", data: text))) == nil)
        #expect(RevisionConfig.name(stack: String(repeating: "x", count: 60), number: 1) == nil)
        let rows = try StackVerbs.historyListing([record], now: .zero).render(
            format: "{{.Revision}} {{.Author}}")
        #expect(rows == "3 me@here\n")
    }

    @Test func `stack ls counts services by stack, in natural order`() throws {
        let listing = StackVerbs.listing(["b10": 1, "b2": 3])
        #expect(try listing.render(format: nil) == "NAME      SERVICES\nb2        3\nb10       1\n")
    }

    @Test func `a network is asked for as the file says, and read as the engine says`() throws {
        var spec = NetworkSpec(name: "n", labels: ["a": "b"], isInternal: true, attachable: true)
        spec.driverConfiguration = Driver(name: "overlay", options: ["o": "p"])
        spec.ipamOptions = IPAM(configs: [IPAMConfig(subnet: "10.0.0.0/24", gateway: "10.0.0.1")])
        let body = try JSONValue(encoding: spec.creation)
        #expect(body["Internal"]?.isTrue == true && body["Options"]?["o"]?.text == "p")
        let answer =
            body.members.filter { !["Options"].contains($0.key) } + [
                JSONMember("Id", "x"), JSONMember("Scope", "swarm"),
            ]
        let read = try JSONDecoder().decode(
            NetworkSummary.self, from: Data(JSONValue.object(answer).compact.utf8))
        #expect(read.network.spec.ipamOptions?.configs == spec.ipamOptions?.configs)
        #expect(read.network.spec.attachable == true && read.network.id == "x")
    }
}
