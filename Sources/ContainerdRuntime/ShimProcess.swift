import ContainerdAPI
import FoundationEssentials
import Glibc

/// A containerd shim: the process between containerd and one container, as its command line tells.
struct ShimProcess: Sendable, Equatable {
    var pid: pid_t
    var namespace: String
    var id: String
    /// Path of its containerd's socket, as the shim sees it.
    var address: String

    private static let program = "containerd-shim-runc-v2"
    /// Processes below a shim that are ended with it; a half-made task has one or two.
    private static let descendantsMax = 1000

    /// Reads a command line, whose words are each ended by a zero byte.
    ///
    /// It gives nil for other programs, and for the shim program's short runs that start or clean up another shim.
    init?(pid: pid_t, commandLine: String) {
        let words = commandLine.split(separator: "\0", omittingEmptySubsequences: false).map(String.init)
        guard let first = words.first, ("/" + first).hasSuffix("/" + Self.program) else { return nil }
        var options: [String: String] = [:]
        var rest = words.dropFirst()
        if rest.last?.isEmpty == true { rest.removeLast() }
        while let word = rest.popFirst() {
            if word == "-debug" { continue }
            // A word of its own is what a short run is to do.
            guard word.hasPrefix("-"), let value = rest.popFirst() else { return nil }
            options[word] = value
        }
        guard let namespace = options["-namespace"], let id = options["-id"],
            let address = options["-address"]
        else { return nil }
        (self.pid, self.namespace, self.id, self.address) = (pid, namespace, id, address)
    }

    /// Those of the whole machine.
    static func all() -> [ShimProcess] {
        ProcessTable.all().compactMap(read)
    }

    private static func read(_ pid: pid_t) -> ShimProcess? {
        TextFile.read("/proc/\(pid)/cmdline").flatMap { ShimProcess(pid: pid, commandLine: $0) }
    }

    /// Which containerd it belongs to; nil when that one's socket is gone.
    ///
    /// Looked up in the shim's own view of the file system: another daemon's containerd may have the same path there.
    var containerd: FileIdentity? {
        address.hasPrefix("/") ? FileIdentity("/proc/\(pid)/root\(address)") : nil
    }

    /// Ends it, what it has started, and the socket that it listened on.
    func end() {
        // The number may have passed to somebody else since it was read.
        guard Self.read(pid) == self else { return }
        let below = descendants()
        // containerd's name for it, below a directory that is the same for every containerd.
        let name = ContentWriter.digest(of: Array("\(address)/\(namespace)/\(id)".utf8)).dropFirst("sha256:".count)
        unsafe unlink("/proc/\(pid)/root/run/containerd/s/\(name)")
        kill(pid, SIGKILL)
        for process in below { kill(process, SIGKILL) }
    }

    private func descendants() -> [pid_t] {
        let children = ProcessTable.children()
        var found: [pid_t] = []
        var next = [pid]
        while let process = next.popLast(), found.count < Self.descendantsMax {
            found += children[process] ?? []
            next += children[process] ?? []
        }
        return found
    }
}

/// A file by what it is and not by where: two paths in two views of the file system may lead to one.
struct FileIdentity: Sendable, Equatable {
    private(set) var device: UInt
    private var number: UInt64

    init?(_ path: String) {
        // Absence is an answer.
        guard let about = try? FileManager.default.attributesOfItem(atPath: path),
            let device = about[.systemNumber] as? UInt, let number = about[.systemFileNumber] as? UInt64
        else { return nil }
        (self.device, self.number) = (device, number)
    }
}
