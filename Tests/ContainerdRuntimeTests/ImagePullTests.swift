import ContainerdAPI
import FoundationEssentials
import GRPCCore
import Glibc
import Logging
import Ports
import SwarmCore
import SwarmModel
import SwiftProtobuf
import Testing

@testable import ContainerdRuntime

/// Images from Debian's docker-registry into a containerd of the test's own.
@Suite(.serialized, .enabled(if: getuid() == 0 && RegistryFixture.isInstalled)) struct ImagePullTests {
    /// An image service on a fresh containerd.
    private static func withService(
        certificates: String = "/nonexistent", _ body: (ImageService) async throws -> Void
    ) async throws {
        try await withContainerd { supervisor, _ in
            let client = try ContainerdClient(socket: supervisor.socket)
            defer { client.shutdown() }
            try await body(
                ImageService(
                    client: client, logger: Logger(label: "test"),
                    settings: try ImageService.settings(certificateDirectories: [certificates])))
        }
    }

    private static func pull(
        _ service: ImageService, _ reference: String, auth: String? = nil
    ) async throws -> [ImageProgress] {
        var steps: [ImageProgress] = []
        for try await step in service.pull(reference, registryAuth: auth) { steps.append(step) }
        return steps
    }

    /// What a failed pull must not leave: blobs, ingests, snapshots, leases, names.
    static func leftovers(_ service: ImageService) async throws -> [String] {
        let client = service.client
        let blobs = try await client.content.list(.init()) { response in
            var names: [String] = []
            for try await page in response.messages { names += page.info.map(\.digest) }
            return names
        }
        let snapshots = try await client.snapshots.list(.with { $0.snapshotter = "overlayfs" }) { response in
            var names: [String] = []
            for try await page in response.messages { names += page.info.map(\.name) }
            return names
        }
        return blobs + snapshots + (try await client.content.listStatuses(.init()).statuses.map(\.ref))
            + (try await client.leases.list(.init()).leases.map(\.id))
            + (try await client.images.list(.init()).images.map(\.name))
    }

    private static func failure(
        _ service: ImageService, _ reference: String, auth: String? = nil
    ) async throws -> SwarmError {
        let error = await #expect(throws: SwarmError.self) {
            _ = try await pull(service, reference, auth: auth)
        }
        #expect(try await leftovers(service) == [])
        return try #require(error)
    }

    @Test func `a pulled image is there, with Docker's words on the way, and again it is up to date`() async throws {
        let layout = try ImageLayout("hello")
        defer { layout.remove() }
        try await RegistryFixture.with(.none) { registry in
            try registry.push(layout.directory, as: "app:1")
            try await Self.withService { service in
                let name = "\(registry.host)/app:1"
                let steps = try await Self.pull(service, name)
                let image = try await service.resolve(name)
                #expect(image.configuration.cmd == ["sh"])
                #expect(image.diffIDs.count == 2)
                #expect(image.sizeBytes > 1_000_000)
                #expect(steps.first == ImageProgress(status: "Pulling from app", id: "1"))
                #expect(steps.last?.status == "Status: Downloaded newer image for \(name)")
                #expect(steps.contains { $0.status == "Digest: \(image.targetDigest)" })
                let top = String(layout.layers[1].dropFirst(7).prefix(12))
                let words = steps.filter { $0.id == top }.map(\.status)
                #expect(words.first == "Pulling fs layer")
                #expect(Array(words.suffix(4)) == [
                    "Verifying Checksum", "Download complete", "Extracting", "Pull complete",
                ])
                let again = try await Self.pull(service, name)
                #expect(again.last?.status == "Status: Image is up to date for \(name)")
                // Pinned to its digest it is there too, though the registry is asked nothing.
                try await service.ensure("\(registry.host)/app:1@\(image.targetDigest)", registryAuth: nil)
                #expect(try await service.client.leases.list(.init()).leases.isEmpty)
            }
        }
    }

    @Test func `layers that are there already are not fetched again`() async throws {
        let (first, second) = (try ImageLayout("one"), try ImageLayout("two"))
        defer {
            first.remove()
            second.remove()
        }
        try await RegistryFixture.with(.none) { registry in
            try registry.push(first.directory, as: "app:1")
            try registry.push(second.directory, as: "app:2")
            try await Self.withService { service in
                _ = try await Self.pull(service, "\(registry.host)/app:1")
                let steps = try await Self.pull(service, "\(registry.host)/app:2")
                let base = String(first.layers[0].dropFirst(7).prefix(12))
                #expect(steps.contains(ImageProgress(status: "Already exists", id: base)))
            }
        }
    }

    @Test func `an index gives this machine's image, also by its digest`() async throws {
        let layout = try ImageLayout("many", architectures: ["arm64", "amd64", "s390x"])
        defer { layout.remove() }
        try await RegistryFixture.with(.none) { registry in
            try registry.push(layout.directory, as: "many:latest", all: true)
            try await Self.withService { service in
                let name = "\(registry.host)/many"
                let about = try await service.distribution(name, registryAuth: nil)
                #expect(about.platforms.map(\.architecture) == ["arm64", "amd64", "s390x"])
                #expect(about.mediaType == "application/vnd.oci.image.index.v1+json")
                try await service.ensure("\(name):latest@\(about.digest)", registryAuth: nil)
                let image = try await service.resolve("\(name)@\(about.digest)")
                #expect(image.architecture == "amd64")
                #expect(image.targetDigest == about.digest)
                // Only the digest was asked for: no tag appears.
                let error = await #expect(throws: SwarmError.self) { _ = try await service.resolve(name) }
                #expect(error?.code == .notFound)
            }
        }
    }

    @Test(arguments: [ImageLayout.Compression.none, .gzip, .zstd]) func `layers may be plain, gzip or zstd`(
        _ compression: ImageLayout.Compression
    ) async throws {
        let layout = try ImageLayout("packed", compression)
        defer { layout.remove() }
        try await RegistryFixture.with(.none) { registry in
            try registry.push(layout.directory, as: "packed")
            try await Self.withService { service in
                _ = try await Self.pull(service, "\(registry.host)/packed")
                #expect(try await service.resolve("\(registry.host)/packed").diffIDs.count == 2)
            }
        }
    }

    // MARK: Doors

    @Test func `a registry with passwords opens to the right one only`() async throws {
        let layout = try ImageLayout("secret")
        defer { layout.remove() }
        func header(_ password: String) -> String {
            Data("{\"username\":\"\(RegistryFixture.user)\",\"password\":\"\(password)\"}".utf8).base64EncodedString()
        }
        try await RegistryFixture.with(.passwords) { registry in
            try registry.push(layout.directory, as: "secret")
            try await Self.withService { service in
                let name = "\(registry.host)/secret"
                let without = try await Self.failure(service, name)
                #expect(without.code == .unauthenticated)
                #expect(without.message.hasPrefix("pull access denied for \(name), repository does not exist or may"))
                let wrong = try await Self.failure(service, name, auth: header("wrong"))
                #expect(wrong.message.hasPrefix("unauthorized: authentication required"))
                let garbage = try await Self.failure(service, name, auth: "garbage!")
                #expect(garbage.code == .invalidArgument)
                try await service.ensure(name, registryAuth: header(RegistryFixture.password))
                _ = try await service.resolve(name)
            }
        }
    }

    @Test func `a private authority is trusted once its certificate is there`() async throws {
        let layout = try ImageLayout("tls")
        defer { layout.remove() }
        try await RegistryFixture.with(.tls) { registry in
            try registry.push(layout.directory, as: "tls")
            try await Self.withService { service in
                let stranger = try await Self.failure(service, "\(registry.host)/tls")
                #expect(stranger.message.contains("certificate signed by unknown authority"))
                #expect(stranger.message.contains("/etc/swarmd/certs.d/\(registry.host)/ca.crt"))
            }
            try await Self.withService(certificates: registry.certificates) { service in
                _ = try await Self.pull(service, "\(registry.host)/tls")
                _ = try await service.resolve("\(registry.host)/tls")
            }
        }
    }

    // MARK: Damage

    @Test func `an unknown tag, an unknown repository and a dead registry are told apart`() async throws {
        let layout = try ImageLayout("here")
        defer { layout.remove() }
        try await RegistryFixture.with(.none) { registry in
            try registry.push(layout.directory, as: "here:1")
            try await Self.withService { service in
                let tag = try await Self.failure(service, "\(registry.host)/here:2")
                #expect(tag.message.hasPrefix("manifest for \(registry.host)/here:2 not found: manifest unknown"))
                let name = try await Self.failure(service, "\(registry.host)/nothing:1")
                #expect(name.code == .notFound)
                let task = await #expect(throws: SwarmError.self) {
                    try await service.ensure("\(registry.host)/here:2", registryAuth: nil)
                }
                #expect(task?.message == "No such image: \(registry.host)/here:2")
                let dead = try await Self.failure(service, "127.0.0.1:1/here")
                #expect(dead.message.hasSuffix("connection refused"))
            }
        }
    }

    @Test func `a corrupt and a truncated layer leave nothing behind, and a repaired registry serves again`() async throws {
        let layout = try ImageLayout("damage")
        defer { layout.remove() }
        try await RegistryFixture.with(.none) { registry in
            try registry.push(layout.directory, as: "app")
            let file = registry.blob(layout.layers[0])
            try Shell.run("cp \(file) \(file).good")
            try await Self.withService { service in
                try Shell.run("printf X | dd of=\(file) bs=1 seek=5000 conv=notrunc")
                let corrupt = try await Self.failure(service, "\(registry.host)/app")
                #expect(corrupt.message.hasPrefix("filesystem layer verification failed for digest \(layout.layers[0])"))
                try Shell.run("cp \(file).good \(file) && truncate -s -100 \(file)")
                let truncated = try await Self.failure(service, "\(registry.host)/app")
                #expect(truncated.message.contains("damaged in the registry"))
                try Shell.run("cp \(file).good \(file)")
                _ = try await Self.pull(service, "\(registry.host)/app")
            }
        }
    }

    @Test func `a full disk is a clear error and leaves nothing behind`() async throws {
        let layout = try ImageLayout("big", .none, padding: 24 << 20)
        defer { layout.remove() }
        let base = try Shell.run("mktemp -d /tmp/swarm-full-XXXXXX")
        try Shell.run("mkdir \(base)/data && mount -t tmpfs -o size=16m tmpfs \(base)/data")
        defer { _ = try? Shell.run("umount -l \(base)/data; rm -rf \(base)") }
        try await RegistryFixture.with(.none) { registry in
            try registry.push(layout.directory, as: "big")
            let supervisor = ContainerdSupervisor(
                dataDirectory: base + "/data", runDirectory: base + "/run", logger: Logger(label: "test"))
            try await supervisor.start()
            let client = try ContainerdClient(socket: supervisor.socket)
            let service = ImageService(client: client, logger: Logger(label: "test"))
            let error = try await Self.failure(service, "\(registry.host)/big")
            #expect(error.code == .resourceExhausted)
            #expect(error.message.hasPrefix("no space left on device"))
            client.shutdown()
            await supervisor.stop(everything: true)
        }
    }

    // MARK: Company

    @Test func `those who pull the same image share one pull, and it ends with the last of them`() async throws {
        let layout = try ImageLayout("shared", .none, padding: 8 << 20)
        defer { layout.remove() }
        try await RegistryFixture.with(.none) { registry in
            try registry.push(layout.directory, as: "shared")
            try await Self.withService { service in
                let name = "\(registry.host)/shared"
                // The one who leaves early takes nothing away from the others.
                let leaver = Task { for try await _ in service.pull(name, registryAuth: nil) { return } }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<5 { group.addTask { try await service.ensure(name, registryAuth: nil) } }
                    try await group.waitForAll()
                }
                try await leaver.value
                _ = try await service.resolve(name)
                // Alone, leaving ends it.
                try await service.deleteRecord(try ImageService.canonicalName(name))
                for image in try await service.list() { try await service.deleteRecord(image.name) }
                #expect(try await Self.leftovers(service) == [])
                for try await step in service.pull(name, registryAuth: nil) where step.status == "Downloading" { break }
                let deadline = ContinuousClock.now + .seconds(10)
                while try await Self.leftovers(service) != [], ContinuousClock.now < deadline {
                    try await Task.sleep(for: .milliseconds(20))
                }
                #expect(try await Self.leftovers(service) == [])
            }
        }
    }

    @Test func `a local image is used at once though no registry can be reached`() async throws {
        try await Self.withService { service in
            _ = try await service.importRootFileSystem(
                RootFileSystemArchive.stream(try RootFileSystemArchive.busybox()), reference: "busybox", changes: [])
            let start = ContinuousClock.now
            try await service.ensure("busybox:latest", registryAuth: nil)
            #expect(ContinuousClock.now - start < .milliseconds(500))
        }
    }
}
