import Foundation
import Glibc
import Ports
import SwarmCore
import SwarmModel
import Testing

@testable import ContainerdRuntime

extension ContainerdRuntimeService {
    /// Creates and starts a container that does nothing, for processes to be run in.
    func sleeper(_ change: (inout ContainerSpec) -> Void = { _ in }) async throws -> String {
        let asked = request(["sleep", "1000"], change)
        try await create(asked)
        _ = try await start(asked.id)
        return asked.id
    }

    /// Runs a process to its end, giving it `input`.
    func execute(
        _ id: String, _ command: [String], input: [UInt8]? = nil, _ change: (inout ExecRequest) -> Void = { _ in }
    ) async throws -> (code: Int, output: [UInt8], errors: [UInt8]) {
        var asked = ExecRequest(command: command)
        asked.attachStdin = input != nil
        change(&asked)
        let exec = try await exec(id, asked)
        let streams = try await startExec(exec, ExecStart())
        defer { streams.detach() }
        let feeder = Task {
            if let input { try await streams.write(input) }
            await streams.closeInput()
        }
        defer { feeder.cancel() }
        var (output, errors): ([UInt8], [UInt8]) = ([], [])
        for try await (stream, bytes) in streams.output {
            if stream == .stderr { errors += bytes } else { output += bytes }
        }
        let code = try await streams.wait()
        #expect(try await inspectExec(exec).exitCode == code)
        #expect(try await inspectExec(exec).isRunning == false)
        return (code, output, errors)
    }

    func text(_ id: String, _ script: String, _ change: (inout ExecRequest) -> Void = { _ in }) async throws -> String {
        let result = try await execute(id, ["sh", "-c", script], change)
        return String(decoding: result.output, as: UTF8.self)
    }
}

@Suite(.serialized, .enabled(if: getuid() == 0), .timeLimit(.minutes(2))) struct ExecTests {
    @Test func `streams are kept apart, input ends, and the exit code is that of the process`() async throws {
        try await withRuntime { runtime, _ in
            let id = try await runtime.sleeper()
            let script = ["sh", "-c", "cat; echo wrong >&2; exit 9"]
            let result = try await runtime.execute(id, script, input: Array("given".utf8))
            #expect(result.code == 9)
            #expect(String(decoding: result.output, as: UTF8.self) == "given")
            #expect(String(decoding: result.errors, as: UTF8.self) == "wrong\n")
        }
    }

    @Test func `ten megabytes go in and come out unharmed`() async throws {
        try await withRuntime { runtime, _ in
            let id = try await runtime.sleeper()
            var generator = SeededGenerator(seed: 7)
            var bytes: [UInt8] = []
            bytes.reserveCapacity(10 << 20)
            while bytes.count < 10 << 20 {
                withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) }
            }
            let result = try await runtime.execute(id, ["cat"], input: bytes)
            #expect(result.code == 0)
            #expect(result.output == bytes)
        }
    }

    @Test func `environment, directory and user are those of the container with the request on top`() async throws {
        try await withRuntime { runtime, _ in
            let id = try await runtime.sleeper {
                $0.env = ["A=container", "B=container"]
                $0.dir = "/www"
            }
            #expect(try await runtime.text(id, "pwd; id -u; echo $A $B") == "/www\n0\ncontainer container\n")
            let changed = try await runtime.text(id, "pwd; id -u; id -G; echo $A $B") {
                $0.environment = ["A=exec"]
                $0.workingDirectory = "/tmp"
                $0.user = "web"
            }
            #expect(changed == "/tmp\n1000\n1001 2000\nexec container\n")
            // The files of the running container count, not those of the image.
            _ = try await runtime.text(id, "echo new:x:4242:4243::/:/bin/sh >> /etc/passwd")
            #expect(try await runtime.text(id, "id -u; id -g") { $0.user = "new" } == "4242\n4243\n")
        }
    }

    @Test func `a link in place of the user file does not lead out of the container`() async throws {
        try await withRuntime { runtime, _ in
            let id = try await runtime.sleeper()
            _ = try await runtime.text(id, "rm /etc/passwd; ln -s /proc/1/root/../../../etc/passwd /etc/passwd")
            await #expect(throws: SwarmError.self) { _ = try await runtime.text(id, "id") { $0.user = "daemon" } }
        }
    }

    @Test(arguments: [
        (["nosuchcmd"], 127, "executable file not found"), (["/etc"], 126, "permission denied"),
        (["/bin/nope"], 127, "no such file or directory"),
    ]) func `what cannot be started says why and leaves the shell's exit code`(
        command: [String], code: Int, words: String
    ) async throws {
        try await withRuntime { runtime, _ in
            let id = try await runtime.sleeper()
            let exec = try await runtime.exec(id, ExecRequest(command: command))
            let error = await #expect(throws: SwarmError.self) {
                _ = try await runtime.startExec(exec, ExecStart())
            }
            #expect(error?.message.hasPrefix("OCI runtime exec failed: ") == true)
            #expect(error?.message.contains(words) == true)
            #expect(try await runtime.inspectExec(exec).exitCode == code)
            let again = await #expect(throws: SwarmError.self) {
                _ = try await runtime.startExec(exec, ExecStart())
            }
            #expect(again?.message == "Error: Exec command \(exec) has already run")
        }
    }

    @Test func `a terminal has a size and one stream`() async throws {
        try await withRuntime { runtime, _ in
            let id = try await runtime.sleeper()
            var asked = ExecRequest(command: ["sh", "-c", "read x; stty size; echo $TERM; echo err >&2"])
            (asked.tty, asked.attachStdin) = (true, true)
            let exec = try await runtime.exec(id, asked)
            let streams = try await runtime.startExec(exec, ExecStart(consoleSize: ConsoleSize(height: 1, width: 1)))
            defer { streams.detach() }
            try await runtime.resizeExec(exec, width: 77, height: 33)
            try await streams.write(Array("go\n".utf8))
            var output: [UInt8] = []
            for try await (stream, bytes) in streams.output {
                #expect(stream == .stdout)
                output += bytes
            }
            #expect(String(decoding: output, as: UTF8.self).hasSuffix("33 77\r\nxterm\r\nerr\r\n"))
            #expect(try await streams.wait() == 0)
        }
    }

    @Test func `a process whose client has left goes on, and so does a detached one`() async throws {
        try await withRuntime { runtime, _ in
            let id = try await runtime.sleeper()
            let script = "head -c 1000000 /dev/zero; echo done > /tmp/$NAME"
            for (name, isDetached) in [("left", false), ("detached", true)] {
                var asked = ExecRequest(command: ["sh", "-c", script])
                asked.environment = ["NAME=" + name]
                let exec = try await runtime.exec(id, asked)
                let streams = try await runtime.startExec(exec, ExecStart(isDetached: isDetached))
                streams.detach()
                #expect(try await streams.wait() == 0)
                #expect(try await runtime.text(id, "cat /tmp/\(name)") == "done\n")
            }
        }
    }

    @Test func `execs need a running container and go with it`() async throws {
        try await withRuntime { runtime, configuration in
            let id = try await runtime.sleeper()
            let exec = try await runtime.exec(id, ExecRequest(command: ["sleep", "1000"]))
            let streams = try await runtime.startExec(exec, ExecStart())
            #expect(try await runtime.inspect(id).execIDs == [exec])
            try await runtime.pause(id)
            let paused = await #expect(throws: SwarmError.self) {
                _ = try await runtime.exec(id, ExecRequest(command: ["true"]))
            }
            #expect(paused?.message == "Container \(id) is paused, unpause the container before exec")
            try await runtime.unpause(id)
            try await runtime.kill(id, signal: "KILL")
            #expect(try await runtime.wait(id, for: .notRunning) == 137)
            for try await _ in streams.output {}
            #expect(try await streams.wait() == 137)
            let ended = await #expect(throws: SwarmError.self) {
                _ = try await runtime.exec(id, ExecRequest(command: ["true"]))
            }
            #expect(ended?.message == "container \(id) is not running")
            try await runtime.remove(id, force: true)
            let gone = await #expect(throws: SwarmError.self) { _ = try await runtime.inspectExec(exec) }
            #expect(gone?.message == "No such exec instance: \(exec)")
            let left = try FileManager.default.contentsOfDirectory(atPath: configuration.runDirectory + "/io")
            #expect(left == [])
        }
    }
}

@Suite struct ExecTableTests {
    @Test func `a container's execs are bounded, and those that have ended make room`() throws {
        var table = ExecTable()
        func info(_ number: Int, isRunning: Bool = false) -> ExecInfo {
            ExecInfo(id: "e\(number)", containerID: "c", request: ExecRequest(command: ["x"]), isRunning: isRunning)
        }
        for number in 0..<ExecTable.perContainerMax + 5 { try table.add(info(number)) }
        #expect(table["e4"] == nil)
        #expect(table["e5"] != nil)
        for number in 5..<ExecTable.perContainerMax + 5 { table["e\(number)"]?.info.isRunning = true }
        #expect(throws: SwarmError.self) { try table.add(info(999)) }
        _ = table.removeAll(of: "c")
        #expect(table["e7"] == nil)
    }

    @Test func `capabilities are read from the kernel's mask`() {
        #expect(BoundingSet.decode(0b101) == ["CAP_CHOWN", "CAP_DAC_READ_SEARCH"])
        #expect(BoundingSet.decode(0) == [])
    }
}
