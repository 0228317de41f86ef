import ContainerdAPI
import GRPCCore
import Ports
import SwiftProtobuf
import FoundationEssentials
import Glibc
import Logging
import Ports
import SwarmCore
import Testing

@testable import ContainerdRuntime

/// A tar of one root file system, written by hand: busybox with a few links.
enum RootFileSystemArchive {
    static func busybox() throws -> [UInt8] {
        let program = try #require(
            ["/bin/busybox", "/usr/bin/busybox"].compactMap { FileManager.default.contents(atPath: $0) }.first)
        var archive: [UInt8] = []
        for directory in ["bin/", "etc/", "tmp/", "proc/", "sys/", "dev/", "www/"] {
            archive += header(directory, size: 0, mode: 0o755, type: "5")
        }
        archive += header("bin/busybox", size: program.count, mode: 0o755, type: "0") + padded(Array(program))
        for applet in ["sh", "sleep", "cat", "echo", "true", "false", "id", "hostname", "env", "ls", "touch"] {
            archive += header("bin/" + applet, size: 0, mode: 0o777, type: "2", link: "busybox")
        }
        let passwd = Array("root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:web:/www:/bin/sh\n".utf8)
        archive += header("etc/passwd", size: passwd.count, mode: 0o644, type: "0") + padded(passwd)
        let group = Array("root:x:0:\nweb:x:1001:\nextra:x:2000:web\n".utf8)
        archive += header("etc/group", size: group.count, mode: 0o644, type: "0") + padded(group)
        return archive + [UInt8](repeating: 0, count: 1024)
    }

    static func padded(_ bytes: [UInt8]) -> [UInt8] {
        bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
    }

    static func header(_ name: String, size: Int, mode: Int, type: Character, link: String = "") -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, _ offset: Int) { block.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8) }
        func octal(_ value: Int, _ width: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: width - text.count) + text
        }
        put(name, 0)
        put(octal(mode, 7), 100)
        put(octal(0, 7), 108)
        put(octal(0, 7), 116)
        put(octal(size, 11), 124)
        put(octal(0, 11), 136)
        put("        ", 148)
        put(String(type), 156)
        put(link, 157)
        put("ustar", 257)
        put("00", 263)
        let sum = block.reduce(0) { $0 + Int($1) }
        put(octal(sum, 6) + "\0 ", 148)
        return block
    }

    static func stream(_ bytes: [UInt8]) -> AsyncThrowingStream<[UInt8], any Error> {
        AsyncThrowingStream { continuation in
            for start in stride(from: 0, to: bytes.count, by: 300_000) {
                continuation.yield(Array(bytes[start..<min(start + 300_000, bytes.count)]))
            }
            continuation.finish()
        }
    }
}

@Suite(.serialized, .enabled(if: getuid() == 0)) struct ImageServiceTests {
    @Test func `an imported root file system is an image that is there again, and gone when removed`() async throws {
        try await withContainerd { supervisor, _ in
            let client = try ContainerdClient(socket: supervisor.socket)
            let service = ImageService(client: client, logger: Logger(label: "test"))
            let archive = try RootFileSystemArchive.busybox()
            let changes = ["CMD [\"sh\"]", "ENV PATH=/bin", "WORKDIR /www"]
            let id = try await service.importRootFileSystem(
                RootFileSystemArchive.stream(archive), reference: "busybox", changes: changes)
            let fresh = ImageService(client: client, logger: Logger(label: "test"))
            let image = try await fresh.resolve("docker.io/library/busybox:latest")
            #expect(image.id == id)
            #expect(image.configuration.cmd == ["sh"])
            #expect(image.configuration.env == ["PATH=/bin"])
            #expect(image.configuration.workingDir == "/www")
            #expect(image.diffIDs == [image.topChainID])
            // The same again is the same image, not an error.
            let again = try await service.importRootFileSystem(
                RootFileSystemArchive.stream(archive), reference: "busybox", changes: changes)
            #expect(try await fresh.list().count == 1)
            #expect(!again.isEmpty)
            let removed = try await fresh.remove("busybox", force: false, users: [])
            #expect(removed.prefix(2) == [.untagged("busybox:latest"), .deleted(again)])
            let leftovers = try await client.content.list(.init()) { response in
                var count = 0
                for try await page in response.messages { count += page.info.count }
                return count
            }
            #expect(leftovers == 0)
            client.shutdown()
        }
    }

    @Test func `a broken archive is refused and leaves nothing behind`() async throws {
        try await withContainerd { supervisor, _ in
            let client = try ContainerdClient(socket: supervisor.socket)
            let service = ImageService(client: client, logger: Logger(label: "test"))
            let garbage = [UInt8](repeating: 7, count: 5000)
            await #expect(throws: SwarmError.self) {
                _ = try await service.importRootFileSystem(
                    RootFileSystemArchive.stream(garbage), reference: "broken:1", changes: [])
            }
            let left = try await client.snapshots.list(.with { $0.snapshotter = "overlayfs" }) { response in
                var count = 0
                for try await page in response.messages { count += page.info.count }
                return count
            }
            #expect(left == 0)
            let leases = try await client.leases.list(.init()).leases
            #expect(leases.isEmpty)
            client.shutdown()
        }
    }

    @Test func `an unknown image says so in Docker's words`() async throws {
        try await withContainerd { supervisor, _ in
            let client = try ContainerdClient(socket: supervisor.socket)
            let service = ImageService(client: client, logger: Logger(label: "test"))
            let error = await #expect(throws: SwarmError.self) { try await service.resolve("nope") }
            #expect(error?.message == "No such image: nope:latest")
            #expect(error?.code == .notFound)
            client.shutdown()
        }
    }

    @Test func `chain ids follow the image specification`() {
        let first = "sha256:" + String(repeating: "a", count: 64)
        let second = "sha256:" + String(repeating: "b", count: 64)
        let chain = ImageService.chainIDs([first, second])
        #expect(chain[0] == first)
        #expect(chain[1] == ContentWriter.digest(of: Array("\(first) \(second)".utf8)))
    }

    @Test func `changes that are no Dockerfile lines are refused`() {
        #expect(throws: SwarmError.self) { try DockerfileChanges.apply(["NONSENSE x"]) }
        #expect(throws: SwarmError.self) { try DockerfileChanges.apply(["CMD"]) }
        #expect(throws: SwarmError.self) { try DockerfileChanges.apply(["CMD [\"sh\""]) }
    }
}
