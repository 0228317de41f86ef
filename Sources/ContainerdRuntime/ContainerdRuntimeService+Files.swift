import ContainerdAPI
import FoundationEssentials
import GRPCCore
import Glibc
import Ports
import SwarmCore
import SwarmModel
import SwiftProtobuf

/// The layers under a container, as containerd says to mount them.
struct SnapshotMounts: Sendable {
    var proto: [Containerd_Types_Mount]

    /// Directories of the image's layers, topmost first.
    var lowerDirectories: [String] {
        let options = proto.first?.options ?? []
        guard let lower = options.first(where: { $0.hasPrefix("lowerdir=") }) else { return [] }
        return lower.dropFirst("lowerdir=".count).split(separator: ":").map(String.init)
    }
}

extension UserLookup {
    init(image: ResolvedImage, lowerDirectories: [String]) {
        self.init(
            passwd: Self.file("etc/passwd", in: lowerDirectories),
            group: Self.file("etc/group", in: lowerDirectories))
    }

    /// A file of the image's top-most layer that has it; never through a symbolic link, which could lead to
    /// the host.
    private static func file(_ path: String, in layers: [String]) -> String {
        for layer in layers {
            var whole = layer
            var isPlain = true
            for part in path.split(separator: "/") {
                whole += "/" + part
                var status = stat()
                guard unsafe lstat(whole, &status) == 0, status.st_mode & S_IFMT != S_IFLNK else {
                    isPlain = false
                    break
                }
            }
            guard isPlain, let data = FileManager.default.contents(atPath: whole) else { continue }
            return String(decoding: data.prefix(1 << 20), as: UTF8.self)
        }
        return ""
    }
}

/// What a container finds in its file system besides its image.
extension ContainerdRuntimeService {
    func directory(of id: String) -> String { configuration.dataDirectory + "/containers/" + id }
    func pipeDirectory(of id: String) -> String { configuration.runDirectory + "/io/" + id }
    func secretDirectory(of id: String) -> String { configuration.runDirectory + "/secrets/" + id }
    var volumeDirectory: String { configuration.dataDirectory + "/volumes" }

    func makeDirectory(_ path: String) throws(SwarmError) {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw SwarmError(.resourceExhausted, "cannot make \(path)", cause: "\(error)")
        }
    }

    private func write(_ text: String, to path: String) throws(SwarmError) {
        do {
            try Data(text.utf8).write(to: URL(filePath: path))
        } catch {
            throw SwarmError(.resourceExhausted, "cannot write \(path)", cause: "\(error)")
        }
    }

    func makeFiles(for request: ContainerRequest, in directory: String) async throws(SwarmError) {
        try makeDirectory(directory)
        let hostname = request.spec.hostname ?? String(request.id.prefix(12))
        try write(hostname + "\n", to: directory + "/hostname")
        try writeHosts(request.hosts, in: directory)
        let resolver =
            request.resolvConf
            ?? (try? String(contentsOf: URL(filePath: "/etc/resolv.conf"), encoding: .utf8))
        try write(resolver ?? "", to: directory + "/resolv.conf")
        try writeTaskFiles(request)
    }

    /// In place, since a running container has the file mounted.
    func writeHosts(_ hosts: [String], in directory: String) throws(SwarmError) {
        let fixed = [
            "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", "fe00::0\tip6-localnet",
            "ff00::0\tip6-mcastprefix", "ff02::1\tip6-allnodes", "ff02::2\tip6-allrouters",
        ]
        let own = hosts.map { entry in
            entry.split(separator: " ", maxSplits: 1).joined(separator: "\t")
        }
        try write((fixed + own).joined(separator: "\n") + "\n", to: directory + "/hosts")
    }

    /// Secrets and configs on a tmpfs of their own: nothing of them reaches a disk, and they outlive swarmd.
    private func writeTaskFiles(_ request: ContainerRequest) throws(SwarmError) {
        guard !request.files.isEmpty else { return }
        let place = secretDirectory(of: request.id)
        try makeDirectory(place)
        // A config may be a program.
        let flags = UInt(MS_NOSUID | MS_NODEV)
        guard unsafe mount("tmpfs", place, "tmpfs", flags, "mode=0755") == 0 else {
            throw SwarmError(
                .internal, "cannot mount a tmpfs for secrets and configs on \(place): errno \(errno)")
        }
        for (index, file) in request.files.enumerated() {
            let path = "\(place)/\(index)"
            do {
                try Data(file.data).write(to: URL(filePath: path))
            } catch {
                throw SwarmError(.resourceExhausted, "cannot write \(path)", cause: "\(error)")
            }
            guard unsafe chown(path, file.uid, file.gid) == 0, unsafe chmod(path, file.mode & 0o7777) == 0
            else {
                throw SwarmError(.internal, "cannot set owner and mode of \(file.path): errno \(errno)")
            }
        }
    }

    func prepareSnapshot(_ id: String, parent: String) async throws(SwarmError) -> SnapshotMounts {
        let mounts = try await client.prepareSnapshot(
            .with {
                $0.snapshotter = ImageService.snapshotter
                $0.key = id
                $0.parent = parent
                // Until the container's record names it, only this keeps the collector away.
                $0.labels = ["containerd.io/gc.root": "swarmd"]
            })
        return SnapshotMounts(proto: mounts)
    }

    /// Makes the FIFOs and starts reading them; the shim's Create would wait for a reader otherwise.
    /// A terminal has one output.
    func openPipes(
        of id: String, hasTerminal: Bool, logOptions: [String: String]
    ) throws(SwarmError) -> (stdout: String, stderr: String) {
        let base = pipeDirectory(of: id)
        try makeDirectory(base)
        let file = logFiles[id] ?? LogFile(path: directory(of: id) + "/log", options: logOptions)
        logFiles[id] = file
        let streams = [("stdout", LogLine.Stream.stdout), ("stderr", .stderr)]
        for (name, stream) in streams.prefix(hasTerminal ? 1 : 2) {
            let path = base + "/" + name
            guard unsafe mkfifo(path, 0o600) == 0 || errno == EEXIST else {
                throw SwarmError(.internal, "cannot make the pipe \(path): errno \(errno)")
            }
            let descriptor = unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
            guard descriptor >= 0 else {
                throw SwarmError(.resourceExhausted, "cannot open the pipe \(path): errno \(errno)")
            }
            pending[id, default: []].append(
                PendingPipe(descriptor: descriptor, stream: stream, file: file))
        }
        return (base + "/stdout", hasTerminal ? "" : base + "/stderr")
    }
}
