import CLinux
import ContainerdRuntime
import DNSServer
import DockerAPI
import EngineHTTP
import FoundationEssentials
import Glibc
import LinuxNetwork
package import Logging
import NameService
import Overlay
import Ports
import SwarmCore
import SwarmNode

/// The whole daemon: brings its parts up in order and, on SIGTERM, down again without touching containers.
package enum Daemon {
    package static func run(_ configuration: DaemonConfiguration, logger: Logger) async throws {
        clinux_limit_heap()
        guard getuid() == 0 else {
            throw SwarmError(
                .permissionDenied, "swarmd needs root: it runs containers and programs the kernel's network")
        }
        try StateDirectory.make(configuration.dataDirectory)
        try StateDirectory.make(configuration.runDirectory)
        let network = KernelNetwork(
            configuration: .init(runDirectory: configuration.runDirectory + "/network"), logger: logger)
        try await network.start()
        var runtime = RuntimeConfiguration(
            dataDirectory: configuration.dataDirectory, runDirectory: configuration.runDirectory,
            containerdSocket: configuration.containerdSocket, cgroupParent: configuration.cgroupParent)
        runtime.insecureRegistries = configuration.insecureRegistries
        let service = try ContainerdRuntimeService(configuration: runtime, logger: logger)
        try await service.start()
        if configuration.removesEverything {
            for info in try await service.containers() { try await service.remove(info.id, force: true) }
            await service.shutdown(everything: true)
            await network.shutdown(removeEverything: true)
            return
        }
        let hostFile = (try? String(contentsOf: URL(filePath: "/etc/resolv.conf"), encoding: .utf8)) ?? ""
        let names = try NameServer(
            upstreams: ResolverConfiguration(parsing: hostFile).nameservers,
            namespacePath: { network.namespacePath(of: $0) }, logger: logger)
        let driver = NodeDriver(
            configuration: configuration, facts: MachineFacts.read(configuration), service: service,
            network: network, names: names, logger: logger)
        try await driver.start()
        let headers = [
            ("Api-Version", EngineRoutes.maximumVersion.description), ("Ostype", "linux"),
            ("Server", "Docker/\(MachineFacts.version) (linux)"), ("Docker-Experimental", "false"),
        ]
        let router = EngineRoutes.router(driver)
        let listeners = try APIListeners(configuration).make(router, headers, logger)
        let serving = Task {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for listener in listeners { group.addTask { try await listener.run() } }
                // One address that cannot be served ends the daemon, with its name in the error.
                try await group.waitForAll()
            }
        }
        let stop = Task {
            await DaemonProcess.stopSignal()
            logger.info("stopping; containers go on")
            serving.cancel()
        }
        try await serving.value
        stop.cancel()
        await driver.handOver()
        await names.shutdown()
        await service.shutdown(everything: false)
        await network.shutdown(removeEverything: false)
    }
}

extension NameServer {
    /// Before the kernel changes: forget what goes.
    func prepare(_ view: NameSpaceView) {
        replaceDirectory(view.directory)
        detach(except: Set(view.scopes.keys))
    }

    /// After the kernel changed: serve what came.
    func apply(_ view: NameSpaceView) async -> [String: String] {
        replaceDirectory(view.directory)
        detach(except: Set(view.scopes.keys))
        return await attach(view.scopes, upstreams: view.upstreams)
    }
}

enum LocalImages {
    static func make(_ service: ContainerdRuntimeService) -> any ImageStore {
        LocalImageStore(service)
    }
}
