import Foundation
import Glibc
import SwarmCore
import SwarmModel
import Testing

@testable import Compose

/// Random changes of the corpus: whatever comes of it, nothing traps and nothing takes long.
@Suite struct FuzzTests {
    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
            return mixed ^ mixed >> 31
        }
    }

    /// `COMPOSE_FUZZ_SECONDS` makes it longer, `COMPOSE_FUZZ_SEED` another.
    static let seconds = Double(ProcessInfo.processInfo.environment["COMPOSE_FUZZ_SECONDS"] ?? "") ?? 4
    static let seed = UInt64(ProcessInfo.processInfo.environment["COMPOSE_FUZZ_SEED"] ?? "") ?? 1

    static let pieces: [String] = [
        "*a", "&a ", "<<: *a", "!reset ", "!override ", "!!int ", "!!binary ", "!", "? ", ": ", "- ", "|\n",
        ">-\n",
        "{", "}", "[", "]",
        ",", "\"", "'", "\\", "#", "\n", "\n  ", "\t", "%", "@", "`", "---\n", "...\n", "${", "}", "$",
        "${A:-",
        "$$", "null", "~",
        "0", "-1", "1e999", "99999999999999999999999", "0x", ".inf", "true", "\u{0}", "\u{feff}", "é", "😀",
        "\r\n",
        ":", "::",
        "services", "deploy", "extends", "include", "depends_on", "ports", "volumes", "x-", "1-65535:1-65535",
        "/:/", "a:b:c:d:e",
    ]

    /// What this thread has worked so far: other programs do not count.
    static var threadTime: Duration {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    static func mutate(_ text: [UInt8], using generator: inout Generator) -> [UInt8] {
        var text = text
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
            let place = Int.random(in: 0...text.count, using: &generator)
            let end = min(text.count, place + Int.random(in: 0...12, using: &generator))
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: text.replaceSubrange(place..<end, with: [])
            case 1:
                text.insert(
                    contentsOf: Array((pieces.randomElement(using: &generator) ?? "").utf8), at: place)
            case 2:
                text.insert(
                    UInt8.random(in: 0...30, using: &generator) == 0
                        ? 0xff : UInt8.random(in: 32...126, using: &generator), at: place)
            case 3:
                text.insert(
                    contentsOf: text[place..<end], at: Int.random(in: 0...text.count, using: &generator))
            default:
                text.replaceSubrange(
                    place..<end, with: Array((pieces.randomElement(using: &generator) ?? "").utf8))
            }
        }
        return text
    }

    /// Plans and orders what was loaded, over nothing and over itself, which must then be nothing to do.
    static func deployTwice(_ specs: StackSpecs) {
        // Two objects of one name, which a file may ask for, are the engine's to refuse.
        guard Set(specs.configs.map(\.name)).count == specs.configs.count,
            Set(specs.secrets.map(\.name)).count == specs.secrets.count,
            Set(specs.services.map(\.spec.name)).count == specs.services.count
        else { return }
        let first = StackVersions.resolve(specs, over: StackState())
        var rollout = StackRollout(first, StackPlan(first, over: StackState()), over: StackState())
        _ = rollout.next()
        let revision = Revision(1, of: first)
        _ = StackRemovalOrder.rounds(specs.services.map(\.spec.name), revision)
        let state = VersionTests.deployed(first)
        let again = StackVersions.resolve(specs, over: state, sameSecrets: Set(state.secrets.map(\.id)))
        #expect(StackPlan(again, over: state, prune: .services).changes.filter { $0.kind != .network } == [])
    }

    /// A tree with some of its values replaced by those of other places and files.
    static func graft(_ value: Value, _ pool: [Value], using generator: inout Generator) -> Value {
        if Int.random(in: 0..<12, using: &generator) == 0, let other = pool.randomElement(using: &generator) {
            return other
        }
        var value = value
        switch value.content {
        case .map(let entries):
            value.content = .map(
                entries.compactMap { entry in
                    if Int.random(in: 0..<20, using: &generator) == 0 { return nil }
                    var entry = entry
                    entry.value = graft(entry.value, pool, using: &generator)
                    return entry
                })
        case .list(let items): value.content = .list(items.map { graft($0, pool, using: &generator) })
        default: break
        }
        return value
    }

    private static func parts(_ value: Value) -> [Value] {
        [value] + (value.entries ?? []).flatMap { parts($0.value) } + (value.list ?? []).flatMap(parts)
    }

    @Test func `mutated files are loaded or refused, never more`() throws {
        var generator = Generator(state: Self.seed)
        let names = Fixtures.projects.flatMap(\.files)
        let corpus = names.compactMap {
            FileManager.default.contents(atPath: "\(Fixtures.corpus)/\($0)").map(Array.init)
        }
        try #require(corpus.count > 150)
        let trees = corpus.compactMap { try? YAMLReader.read($0, file: "f").document }
        let pool = trees.flatMap(Self.parts)
        let clock = ContinuousClock()
        let end = clock.now + .seconds(Self.seconds)
        var (loaded, refused, slowest, slow) = (0, 0, Duration.zero, 0)
        while clock.now < end, slow < 10 {
            guard let base = corpus.randomElement(using: &generator),
                let other = corpus.randomElement(using: &generator)
            else { return }
            var files = FilesInMemory()
            if Bool.random(using: &generator), let tree = trees.randomElement(using: &generator) {
                files.files["/p/a.yml"] = Array(
                    YAMLWriter.write(Self.graft(tree, pool, using: &generator)).utf8)
            } else {
                files.files["/p/a.yml"] = Self.mutate(base, using: &generator)
            }
            files.files["/p/b.yml"] = Self.mutate(other, using: &generator)
            if Int.random(in: 0..<20, using: &generator) == 0 {
                files.files["/p/.env"] = Self.mutate(Array("A=1\nB=\"x $A\"\n".utf8), using: &generator)
            }
            let dialect: Dialect = Bool.random(using: &generator) ? .docker : .specification
            let options = StackOptions(
                dialect: dialect, workingDirectory: "/p", environment: Fixtures.environment)
            let started = Self.threadTime
            let names = Bool.random(using: &generator) ? ["a.yml"] : ["a.yml", "b.yml"]
            do {
                do throws(StackFileErrors) {
                    let project = try StackLoader.load(names, options, from: files)
                    _ = project.rendered
                    loaded += 1
                    let specs = try project.specs(stack: "st", from: files)
                    Self.deployTwice(specs)
                } catch { refused += 1 }
            }
            let taken = Self.threadTime - started
            slowest = max(slowest, taken)
            guard taken >= BoundsTests.limit else { continue }
            // To be looked at, and then added to the corpus.
            slow += 1
            let folder = "/tmp/compose-fuzz-\(Self.seed)-\(slow)"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            for (path, bytes) in files.files {
                try Data(bytes).write(to: URL(fileURLWithPath: folder + "/" + (path.split(separator: "/").last ?? "")))
            }
            Issue.record("\(taken) for \(names) of \(folder), \(dialect)")
        }
        print("compose fuzz, seed \(Self.seed): \(loaded) loaded, \(refused) refused, slowest \(slowest)")
        #expect(loaded > 0 && refused > 0)
        #expect(slowest < BoundsTests.limit)
    }

    /// `COMPOSE_ORACLE_FUZZ` is how many files are made up; 100 are 3 seconds.
    static let oracleCount = Int(ProcessInfo.processInfo.environment["COMPOSE_ORACLE_FUZZ"] ?? "") ?? 100

    @Test(.enabled(if: DockerClient.path != nil, Comment(rawValue: DifferentialTests.reason)))
    func `files that nobody wrote are read as the Docker client reads them`() throws {
        var generator = Generator(state: Self.seed)
        let trees = Fixtures.projects.flatMap(\.files).compactMap { name -> Value? in
            guard let bytes = FileManager.default.contents(atPath: "\(Fixtures.corpus)/\(name)") else {
                return nil
            }
            return try? YAMLReader.read(Array(bytes), file: "f").document
        }
        let pool = trees.flatMap(Self.parts)
        let folder = NSTemporaryDirectory() + "compose-oracle-\(ProcessInfo.processInfo.processIdentifier)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var (same, refused) = (0, 0)
        for _ in 0..<Self.oracleCount {
            guard let tree = trees.randomElement(using: &generator) else { return }
            var text = YAMLWriter.write(Self.graft(tree, pool, using: &generator), isLikeGo: true)
            try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/a.yml"))
            // Half of the time a second file over it, often the same with other changes.
            var names = ["a.yml"]
            if Bool.random(using: &generator),
                let other = [tree, trees.randomElement(using: &generator)].randomElement(using: &generator)
                    ?? tree
            {
                let second = YAMLWriter.write(Self.graft(other, pool, using: &generator), isLikeGo: true)
                try Data(second.utf8).write(to: URL(fileURLWithPath: folder + "/b.yml"))
                names.append("b.yml")
                text += "---\n" + second
            }
            let docker = try DockerClient.config(names, in: folder)
            // go-yaml does not read back a block of text whose first line begins with a tab.
            if docker.complaint.contains("found a tab character") { continue }
            // The client cannot merge an extension that is a list here and a mapping there.
            if docker.complaint.contains("cannot append two slices with different type") { continue }
            // The client prints numbers of extra_hosts by a wrong verb.
            if docker.output?.contains("%!s(") == true { continue }
            let options = Fixtures.options(.docker, in: folder)
            do throws(StackFileErrors) {
                let ours = try StackLoader.load(names, options, from: FilesOnDisk()).rendered
                guard let theirs = docker.output else {
                    Issue.record("docker refuses: \(docker.complaint)\n\(text)")
                    continue
                }
                if ours == theirs {
                    same += 1
                } else {
                    Issue.record("\(DifferentialTests.difference(ours, theirs))\n\(text)")
                }
            } catch {
                refused += 1
                if docker.output != nil { Issue.record("docker takes, we refuse: \(error)\n\(text)") }
            }
        }
        print("compose oracle fuzz, seed \(Self.seed): \(same) printed alike, \(refused) refused alike")
    }

    @Test func `what was printed is read back the same`() throws {
        var count = 0
        // Two short ports become equal long ones there.
        for project in Fixtures.projects where !["ports-short", "key-ports-1"].contains(project.name) {
            guard
                let first = try? StackLoader.load(
                    project.files, Fixtures.options(.specification), from: FilesOnDisk())
            else {
                continue
            }
            var options = StackOptions(
                workingDirectory: Fixtures.corpus, home: "/root", environment: Fixtures.environment)
            options.interpolates = false
            let printed = first.rendered
            let stack = FilesOverDisk(path: Fixtures.corpus + "/printed", text: printed)
            do throws(StackFileErrors) {
                let second = try StackLoader.load(["printed"], options, from: stack)
                let again = second.rendered
                #expect(again == printed, "\(project.name): \(DifferentialTests.difference(again, printed))")
                count += 1
            } catch {
                Issue.record("\(project.name): \(error)")
            }
        }
        #expect(count > 50)
    }
}

/// One file of text, all others from the disk.
struct FilesOverDisk: StackFiles {
    var path: String
    var text: String

    func read(_ path: String, atMost limit: Int) throws(SwarmError) -> [UInt8] {
        path == self.path ? Array(text.utf8) : try FilesOnDisk().read(path, atMost: limit)
    }
}
