import ContainerdAPI
import FoundationEssentials
import Glibc
import Logging
import Ports
import SwarmCore
import SwarmModel
import Testing

@testable import ContainerdRuntime

private func standalone(
    _ arguments: [String], input: Bool = false, _ change: (inout ContainerSpec) -> Void = { _ in }
) -> ContainerRequest {
    var asked = request(arguments) {
        $0.openStdin = input
        change(&$0)
    }
    asked.standalone = StandaloneContainer()
    asked.standalone?.closesStdinWithClient = input
    return asked
}

extension ProcessStreams {
    fileprivate func all() async throws -> [LogLine.Stream: [UInt8]] {
        var result: [LogLine.Stream: [UInt8]] = [:]
        for try await (stream, bytes) in output { result[stream, default: []] += bytes }
        return result
    }
}

@Suite(.serialized, .enabled(if: getuid() == 0), .timeLimit(.minutes(3))) struct StandaloneTests {
    @Test func aContainerRunsAsOftenAsItIsStartedAndKeepsItsFiles() async throws {
        try await withRuntime { runtime, _ in
            let asked = standalone(["sh", "-c", "echo run >>/runs; cat /runs; exit $(wc -l </runs)"])
            try await runtime.create(asked)
            #expect(try await runtime.inspect(asked.id).state == .created)
            for run in 1...3 {
                let streams = try await runtime.attach(asked.id, input: false)
                _ = try await runtime.start(asked.id)
                let output = try await streams.all()
                #expect(output[.stdout] == Array(String(repeating: "run\n", count: run).utf8))
                #expect(try await runtime.wait(asked.id, for: .notRunning) == run)
            }
        }
    }

    @Test func attachedClientsGetEveryByteAndGiveInput() async throws {
        try await withRuntime { runtime, _ in
            let asked = standalone(["sh", "-c", "cat; echo end >&2"], input: true)
            try await runtime.create(asked)
            let streams = try await runtime.attach(asked.id, input: true)
            let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 9) }
            let writer = Task {
                try await streams.write(bytes)
                await streams.closeInput()
            }
            _ = try await runtime.start(asked.id)
            let output = try await streams.all()
            try await writer.value
            #expect(output[.stdout] == bytes)
            #expect(output[.stderr] == Array("end\n".utf8))
            streams.detach()
        }
    }

    @Test func aClientThatReadsNothingHoldsTheContainerUpAndLosesNothing() async throws {
        try await withRuntime { runtime, _ in
            let asked = standalone(["sh", "-c", "head -c 5000000 /dev/zero; echo"])
            try await runtime.create(asked)
            let slow = try await runtime.attach(asked.id, input: false)
            _ = try await runtime.start(asked.id)
            // It waits for its reader: 1 MiB of ours and what the pipes hold.
            #expect(try await runtime.inspect(asked.id).state == .running)
            var count = 0
            for try await (_, bytes) in slow.output { count += bytes.count }
            #expect(count == 5_000_001)
            // One that goes without reading lets it go on.
            let gone = try await runtime.attach(asked.id, input: false)
            _ = try await runtime.start(asked.id)
            gone.detach()
            #expect(try await runtime.wait(asked.id, for: .notRunning) == 0)
        }
    }

    @Test func whatCannotBeStartedSaysWhyAndCanBeTriedAgain() async throws {
        try await withRuntime { runtime, _ in
            let asked = standalone(["/nope"])
            try await runtime.create(asked)
            for _ in 0..<2 {
                await #expect {
                    _ = try await runtime.start(asked.id)
                } throws: { error in
                    (error as? SwarmError)?.message.hasPrefix(
                        "failed to create task for container: failed to create shim task: OCI runtime create failed"
                    )
                        == true
                }
                let info = try await runtime.inspect(asked.id)
                #expect(info.state == .created && info.exitCode == 127)
            }
            try await runtime.remove(asked.id, force: false)
            await #expect(throws: SwarmError.self) { try await runtime.inspect(asked.id) }
        }
    }

    @Test func aNewDaemonAdoptsWhatRunsAndWhatRests() async throws {
        try await withRuntime { runtime, configuration in
            let asked = standalone(["sleep", "1000"], input: true) { $0.env = ["SECRET=kept"] }
            let idle = standalone(["true"])
            try await runtime.create(asked)
            try await runtime.create(idle)
            let pid = try await runtime.start(asked.id)
            // After a reboot this is all there is: the record must be whole, and nobody else's to read.
            let file = configuration.dataDirectory + "/containers/\(asked.id)/record.json"
            let bytes = [UInt8](try #require(FileManager.default.contents(atPath: file)))
            #expect(bytes.firstRange(of: Array("SECRET=kept".utf8)) != nil)
            var about = stat()
            #expect(unsafe lstat(file, &about) == 0)
            #expect(about.st_mode & 0o777 == 0o600)
            let heir = try ContainerdRuntimeService(
                configuration: configuration, logger: Logger(label: "heir"))
            try await heir.start()
            let found = try await heir.inspect(asked.id)
            #expect(found.state == .running && found.pid == pid)
            #expect(found.request?.standalone != nil && found.environment.contains("SECRET=kept"))
            #expect(try await heir.inspect(idle.id).state == .created)
            _ = try await heir.start(idle.id)
            #expect(try await heir.wait(idle.id, for: .notRunning) == 0)
            await heir.shutdown(everything: false)
        }
    }

    @Test func filesAreCopiedInAndOutWhetherItRunsOrNotAndNeverOutOfIt() async throws {
        try await withRuntime { runtime, _ in
            let asked = standalone(["sleep", "1000"])
            try await runtime.create(asked)
            for isUp in [false, true] {
                if isUp { _ = try await runtime.start(asked.id) }
                let name = "escape-\(asked.id.prefix(12))"
                let (outside, link) = (
                    "/tmp/" + name, TarEntry(path: "link", kind: .symbolicLink("/tmp"), size: 0)
                )
                var inside = TarEntry(path: "link/" + name, kind: .file, size: 3)
                (inside.mode, inside.uid, inside.gid, inside.modified) = (0o4750, 7, 8, 1_000_000_000)
                let archive =
                    TarWriter.header(of: TarEntry(path: "tmp", kind: .directory, size: 0, mode: 0o755))
                    + TarWriter.header(of: link) + TarWriter.header(of: inside) + Array("abc".utf8)
                    + TarWriter.padding(3) + TarWriter.end
                try await runtime.writeArchive(
                    asked.id, "/", keepsKinds: false,
                    AsyncThrowingStream {
                        $0.yield(archive); $0.finish()
                    })
                #expect(!FileManager.default.fileExists(atPath: outside))
                let status = try await runtime.pathStatus(asked.id, outside)
                #expect(status.size == 3 && status.permissions == 0o4750 && status.kind == .file)
                #expect(try await runtime.pathStatus(asked.id, "/link").target == "/tmp")
                let out = Collected()
                try await runtime.readArchive(asked.id, "/tmp") { await out.add($0) }
                let bytes = await out.bytes
                let reader = TarReader(
                    AsyncThrowingStream {
                        $0.yield(bytes); $0.finish()
                    }, keepsLinks: true)
                var names: [String] = []
                while let entry = try await reader.next() {
                    names.append(entry.path)
                    if entry.kind == .file {
                        #expect(entry.uid == 7 && entry.gid == 8 && entry.modified == 1_000_000_000)
                    }
                }
                #expect(names == ["tmp", "tmp/" + name])
            }
            await #expect {
                _ = try await runtime.pathStatus(asked.id, "/none")
            } throws: {
                ($0 as? SwarmError)?.message == "Could not find the file /none in container \(asked.id)"
            }
        }
    }
}

private actor Collected {
    var bytes: [UInt8] = []
    func add(_ more: [UInt8]) { bytes += more }
}
