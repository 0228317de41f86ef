import Foundation
import SwarmCLI
import SwarmClient
import Testing

/// What half-written command lines can become, and the scripts that ask.
@Suite struct CompletionTests {
    /// What stands at the end of `swarmctl` and these words, with the names of a small swarm.
    private func candidates(_ words: String...) -> [String] {
        let names: [Noun: [String]] = [
            .service: ["web", "db", "worker"], .node: ["node1", "node2"], .network: ["net1", "ingress"],
            .secret: ["key", "cert"], .container: ["box"], .image: ["busybox:latest", "nginx:1"],
        ]
        return Completion(of: words, in: SwarmCommand.root).candidates { names[$0] ?? [] }.map(\.text)
    }
    private func completion(_ words: String...) -> Completion { Completion(of: words, in: SwarmCommand.root) }

    @Test func `verbs and their verbs are found by their beginning`() {
        #expect(candidates("ser") == ["service"])
        #expect(candidates("service", "r") == ["rm", "rollback"])
        #expect(candidates("").contains("stack"))
        #expect(completion("service", "").words.first { $0.text == "ls" }?.summary == "List services")
    }

    @Test func `what help leaves out is found by its first letter, and what programs call never`() {
        #expect(!candidates("").contains("rmi"))
        #expect(candidates("rm").contains("rmi"))
        #expect(candidates("_").isEmpty)
        #expect(candidates("nosuch", "").isEmpty)
    }

    @Test func `flags are those of the verb, once unless they repeat`() {
        #expect(candidates("service", "ls", "--f") == ["--filter", "--format"])
        #expect(candidates("service", "ls", "--format", "x", "--f") == ["--filter"])
        #expect(candidates("service", "ls", "--filter", "name=x", "--fi") == ["--filter"])
        #expect(candidates("service", "ls", "-q", "--qu").isEmpty)
        #expect(candidates("--h") == ["--help", "--host"])
        #expect(candidates("service", "--h") == ["--help"])
    }

    @Test func `arguments are what the usage line says, and none twice`() {
        #expect(candidates("service", "rm", "") == ["db", "web", "worker"])
        #expect(candidates("service", "rm", "web", "w") == ["worker"])
        #expect(candidates("service", "update", "web", "").isEmpty)
        #expect(candidates("node", "inspect", "") == ["self", "node1", "node2"])
        #expect(candidates("swarm", "join-token", "") == ["worker", "manager"])
        #expect(candidates("network", "disconnect", "net1", "") == ["box"])
        #expect(candidates("top", "box", "").isEmpty)
    }

    @Test func `names that do not exist yet have no candidates`() {
        #expect(candidates("network", "create", "").isEmpty)
        #expect(candidates("service", "create", "b") == ["busybox:latest"])
        #expect(completion("secret", "create", "new", "").offersFiles)
        #expect(!completion("secret", "create", "").offersFiles)
    }

    @Test func `a replica count follows the name in the same word`() {
        #expect(candidates("service", "scale", "we") == ["web="])
        #expect(completion("service", "scale", "we").suffix == "=")
        #expect(candidates("service", "scale", "web=3", "") == ["db=", "worker="])
    }

    @Test func `values of flags come from their kinds and their help`() {
        #expect(candidates("service", "create", "--network", "") == ["ingress", "net1"])
        #expect(candidates("service", "create", "--network=n") == ["--network=net1"])
        #expect(candidates("service", "create", "--secret", "source=k") == ["source=key"])
        #expect(candidates("service", "create", "--secret", "source=key,target=k").isEmpty)
        #expect(candidates("service", "update", "--secret-rm", "c") == ["cert"])
        #expect(candidates("node", "update", "--availability", "d") == ["drain"])
        #expect(candidates("service", "create", "--restart-condition", "") == ["any", "none", "on-failure"])
        #expect(completion("stack", "deploy", "-c", "").offersFiles)
        #expect(completion("service", "create", "--env-file=x").offersFiles)
        #expect(candidates("service", "create", "--name", "").isEmpty)
        #expect(candidates("service", "create", "-p", "").isEmpty)
    }

    @Test func `flags end where a command line of its own begins`() {
        #expect(candidates("exec", "-it", "") == ["box"])
        #expect(candidates("exec", "box", "ls", "--").isEmpty)
        #expect(candidates("service", "rm", "--", "--").isEmpty)
    }

    @Test func `the engine is the one that the line names`() {
        let named = completion("-H", "unix:///x", "service", "rm", "w")
        #expect(named.globals.text("host") == "unix:///x")
        #expect(named.nouns == [.service])
        #expect(completion("--host=tcp://h:1", "no").words.map(\.text) == ["node"])
    }

    @Test(arguments: CompletionScript.allCases)
    func `scripts are what their shell can read`(script: CompletionScript) throws {
        #expect(script.text.contains("__complete --"))
        let shell = "/usr/bin/\(script.rawValue)"
        // Of the three, only bash is on every machine that runs the tests.
        guard script == .bash || FileManager.default.isExecutableFile(atPath: shell) else { return }
        let folder = FileManager.default.temporaryDirectory.path
        let path = "\(folder)/completion-\(UUID().uuidString).\(script.rawValue)"
        try Data(script.text.utf8).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(Shell.run("\(script.rawValue) -n \(path) 2>&1") == "")
    }

    /// A bash that completes: the candidates come from a stand-in for swarmctl that prints what it was asked.
    private func bash(_ line: String, answer: String, breaks: String = " \t\n\"'><=;|&(:") throws -> [String] {
        let folder = FileManager.default.temporaryDirectory.path + "/completion-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data(CompletionScript.bash.text.utf8).write(to: URL(filePath: folder + "/script"))
        try Data("#!/bin/sh\nprintf '<%s>' \"$@\" >\(folder)/asked\ncat \(folder)/answer\n".utf8)
            .write(to: URL(filePath: folder + "/swarmctl"))
        try Data(answer.utf8).write(to: URL(filePath: folder + "/answer"))
        // Bash itself cuts the line into COMP_WORDS, by the breaks that it is set to.
        let program = """
            cd \(folder); chmod +x swarmctl; source ./script; COMP_WORDBREAKS=$'\(breaks.replacing("'", with: "\\'"))'
            COMP_LINE='\(line)'; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(); rest=$COMP_LINE
            while [ -n "$rest" ]; do
              rest=${rest#"${rest%%[! ]*}"}; word=${rest%%[ =:]*}
              [ -n "$word" ] || word=${rest:0:1}
              COMP_WORDS+=("$word"); rest=${rest#"$word"}
            done
            [ "${COMP_LINE% }" = "$COMP_LINE" ] || [ -z "${COMP_WORDS[-1]}" ] || COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _swarmctl ./swarmctl "${COMP_WORDS[-1]}" ""; cat asked; echo; printf '%s\\n' "${COMPREPLY[@]}"
            """
        try Data(program.utf8).write(to: URL(filePath: folder + "/program"))
        return Shell.run("bash --norc \(folder)/program 2>&1").split(separator: "\n").map(String.init)
    }

    @Test func `bash asks with whole words and gets the part that it replaces`() throws {
        #expect(
            try bash("swarmctl service r", answer: "rm\tx y\nrollback\tz\n")
                == ["<__complete><--><service><r>", "rm", "rollback"])
        #expect(try bash("swarmctl service ", answer: "ls\t\n") == ["<__complete><--><service><>", "ls"])
        #expect(
            try bash("swarmctl -H unix:///x service create --network=n", answer: "--network=net1\t\n")
                == ["<__complete><--><-H><unix:///x><service><create><--network=n>", "net1"])
        #expect(
            try bash("swarmctl run busybox:1", answer: "busybox:1.36\t\n")
                == ["<__complete><--><run><busybox:1>", "1.36"])
    }

    @Test func `bash adds names of files where they are wanted`() throws {
        #expect(try bash("swarmctl stack deploy -c scr", answer: ":files\n").last == "script")
        #expect(try bash("swarmctl service create --env-file=scr", answer: ":files\n").last == "script")
    }
}

/// A shell's word on something.
private enum Shell {
    static func run(_ command: String) -> String {
        guard let pipe = popen(command, "r") else { return "no shell" }
        defer { pclose(pipe) }
        var (output, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 4096))
        while true {
            let count = fread(&buffer, 1, buffer.count, pipe)
            guard count > 0 else { return String(decoding: output, as: UTF8.self) }
            output += buffer.prefix(count)
        }
    }
}
