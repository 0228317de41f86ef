import ContainerdAPI
import FoundationEssentials
import GRPCCore
import Glibc
import Logging
import Ports
import SwarmCore
import Testing

@testable import ContainerdRuntime

/// Archives of images: read, written, and refused.
@Suite(.serialized, .enabled(if: getuid() == 0 && RegistryFixture.isInstalled)) struct ImageArchiveTests {
    private static func withService(_ body: (ImageService) async throws -> Void) async throws {
        try await withContainerd { supervisor, _ in
            let client = try ContainerdClient(socket: supervisor.socket)
            defer { client.shutdown() }
            try await body(ImageService(client: client, logger: Logger(label: "test")))
        }
    }

    /// The layout as an archive that skopeo makes: `docker-archive` or `oci-archive`.
    private static func archive(_ layout: ImageLayout, _ format: String, _ name: String) throws -> [UInt8] {
        let path = layout.directory + "/\(format).tar"
        try Shell.run("rm -f \(path); skopeo --insecure-policy copy -q oci:\(layout.directory) \(format):\(path):\(name)")
        return Array(try #require(FileManager.default.contents(atPath: path)))
    }

    @Test func `docker and OCI archives are loaded, and a gzipped one too`() async throws {
        let layout = try ImageLayout("archived")
        defer { layout.remove() }
        let docker = try Self.archive(layout, "docker-archive", "app:docker")
        let oci = try Self.archive(layout, "oci-archive", "app:oci")
        let packed = try ImageLayout.compress(try Self.archive(layout, "docker-archive", "app:packed"), .gzip)
        try await Self.withService { service in
            #expect(try await service.load(RootFileSystemArchive.stream(docker)) == ["app:docker"])
            #expect(try await service.load(RootFileSystemArchive.stream(oci)) == ["app:oci"])
            #expect(try await service.load(RootFileSystemArchive.stream(packed)) == ["app:packed"])
            let images = try await service.list()
            #expect(images.count == 3)
            #expect(Set(images.map(\.topChainID)).count == 1)
            #expect(try await service.client.leases.list(.init()).leases.isEmpty)
        }
    }

    @Test func `a saved image can be loaded again, and skopeo reads it`() async throws {
        let layout = try ImageLayout("saved")
        defer { layout.remove() }
        let archive = try Self.archive(layout, "docker-archive", "app:1")
        try await Self.withService { service in
            _ = try await service.load(RootFileSystemArchive.stream(archive))
            let id = try await service.resolve("app:1").id
            let saved = ByteStore()
            try await service.save(["app:1"]) { await saved.add($0) }
            for removal in try await service.remove("app:1", force: false, users: []) { _ = removal }
            #expect(try await ImagePullTests.leftovers(service) == [])
            let bytes = await saved.bytes
            let path = layout.directory + "/saved.tar"
            try Data(bytes).write(to: URL(filePath: path))
            #expect(try Shell.run("skopeo inspect docker-archive:\(path)").contains("\"purpose\": \"test\""))
            #expect(try await service.load(RootFileSystemArchive.stream(bytes)) == ["app:1"])
            #expect(try await service.resolve(id).id == id)
        }
    }

    private actor ByteStore {
        var bytes: [UInt8] = []
        func add(_ more: [UInt8]) { bytes += more }
    }

    @Test func `archives that lead outside, lie or end early are refused and leave nothing`() async throws {
        let layout = try ImageLayout("bad")
        defer { layout.remove() }
        let good = try Self.archive(layout, "oci-archive", "app:1")
        let end = [UInt8](repeating: 0, count: 1024)
        typealias Tar = RootFileSystemArchive
        var flipped = good
        flipped[good.count / 2] ^= 1
        let cases: [(String, [UInt8])] = [
            ("leads out", Tar.header("../evil", size: 0, mode: 0o644, type: "0") + end),
            ("leads out", Tar.header("/evil", size: 0, mode: 0o644, type: "0") + end),
            ("leads out", Tar.header("a", size: 0, mode: 0o777, type: "2", link: "../../etc/passwd") + end),
            ("leads out", Tar.header("a", size: 0, mode: 0o777, type: "2", link: "/etc/passwd") + end),
            ("no images", Tar.header("x", size: 1, mode: 0o644, type: "0") + Tar.padded([1]) + end),
            ("ends early", Array(good.prefix(good.count / 2))),
            ("no tar file", [UInt8](repeating: 7, count: 4096)), ("no tar file", []),
            ("lacks", Self.text("manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[]}]") + end),
            ("not valid", Self.text("manifest.json", "[{]") + end), ("damaged", flipped),
        ]
        try await Self.withService { service in
            for (words, bytes) in cases {
                let error = await #expect(throws: SwarmError.self, "\(words)") {
                    _ = try await service.load(RootFileSystemArchive.stream(bytes))
                }
                #expect(error?.description.contains(words) == true, "\(words): \(error?.description ?? "")")
            }
            let left = try await ImagePullTests.leftovers(service)
            #expect(left == [])
        }
    }

    private static func text(_ name: String, _ text: String) -> [UInt8] {
        RootFileSystemArchive.header(name, size: text.utf8.count, mode: 0o644, type: "0")
            + RootFileSystemArchive.padded(Array(text.utf8))
    }

    // MARK: Names

    @Test func `names come and go as Docker says`() async throws {
        try await Self.withService { service in
            let archive = RootFileSystemArchive.stream(try RootFileSystemArchive.busybox())
            let id = try await service.importRootFileSystem(archive, reference: "base:1", changes: [])
            try await service.tag("base:1", as: "base:2")
            try await service.tag(id, as: "other:1")
            let short = String(id.dropFirst(7).prefix(12))
            #expect(try await service.resolve(short).id == id)
            let several = await #expect(throws: SwarmError.self) {
                _ = try await service.remove(short, force: false, users: [])
            }
            #expect(
                several?.message
                    == "conflict: unable to delete \(short) (must be forced) - image is referenced in multiple repositories")
            #expect(try await service.remove("base:2", force: false, users: []) == [.untagged("base:2")])
            #expect(try await service.remove("other:1", force: false, users: []) == [.untagged("other:1")])
            let container = String(repeating: "c", count: 64)
            let user = ImageUser(containerID: container, imageID: id, isRunning: true)
            let used = await #expect(throws: SwarmError.self) {
                _ = try await service.remove("base:1", force: false, users: [user])
            }
            #expect(used?.code == .conflict)
            #expect(
                used?.message
                    == "conflict: unable to remove repository reference \"base:1\" (must force) - container cccccccccccc is "
                    + "using its referenced image \(short)")
            let running = await #expect(throws: SwarmError.self) {
                _ = try await service.remove(id, force: true, users: [user])
            }
            #expect(running?.message.contains("(cannot be forced) - image is being used by running container") == true)
            // Forced, the name goes and the image stays for its container, until nobody needs it.
            #expect(try await service.remove("base:1", force: true, users: [user]) == [.untagged("base:1")])
            #expect(try await service.resolve(id).name == id)
            #expect(try await service.prune(all: false, users: [user]).removed.isEmpty)
            let pruned = try await service.prune(all: false, users: [])
            #expect(pruned.removed.first == .deleted(id))
            #expect(pruned.bytes > 1_000_000)
            #expect(try await ImagePullTests.leftovers(service) == [])
        }
    }

    // MARK: gzip

    private static func unpack(_ bytes: [UInt8], piece: Int) throws -> [UInt8] {
        var inflater = GzipInflater()
        var output: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: piece) {
            inflater.push(Array(bytes[start..<min(start + piece, bytes.count)]))
            while let more = try inflater.pull() { output += more }
        }
        guard inflater.isAtEnd else { throw SwarmError(.invalidArgument, "early end") }
        return output
    }

    @Test(arguments: [1, 6, 9]) func `what gzip packed is unpacked, however it arrives`(_ level: Int) throws {
        var generator = SeededGenerator(seed: UInt64(level))
        let noise = (0..<40_000).map { _ in UInt8.random(in: 0 ... .max, using: &generator) }
        let words = (0..<60_000).map { UInt8(truncatingIfNeeded: $0 / 97 &* $0) & 0x3f }
        let file = try Shell.run("mktemp /tmp/swarm-gzip-XXXXXX")
        defer { _ = try? Shell.run("rm -f \(file) \(file).gz") }
        for plain in [noise, words, noise + words + noise, [], [1]] {
            try Data(plain).write(to: URL(filePath: file))
            try Shell.run("gzip -\(level) -c \(file) > \(file).gz")
            let packed = Array(try #require(FileManager.default.contents(atPath: file + ".gz")))
            #expect(try Self.unpack(packed, piece: 1 << 20) == plain)
            #expect(try Self.unpack(packed, piece: 1000) == plain)
            // Two members, as when archives are put one after another.
            #expect(try Self.unpack(packed + packed, piece: 4096) == plain + plain)
            #expect(throws: SwarmError.self) { try Self.unpack(packed.dropLast(5), piece: 4096) }
        }
        #expect(throws: SwarmError.self) { try Self.unpack([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], piece: 3) }
    }

    private static func unpack(_ bytes: ArraySlice<UInt8>, piece: Int) throws -> [UInt8] {
        try unpack(Array(bytes), piece: piece)
    }
}
