// swift-tools-version: 6.3
import PackageDescription

/// Every target is one row: its name, what it may import, and which tier it belongs to.
///
/// `CORE_ONLY=1` drops the adapters and their packages, so that the pure modules build and test in seconds;
/// `SWARM_ONLY=NameService,Store` keeps only the named modules, what they need, and their tests.
struct Module {
    /// A tool is an executable of pure modules alone.
    enum Tier { case pure, adapter, executable, tool }
    var name: String
    var tier: Tier
    var targets: [String]
    var products: [Target.Dependency]

    init(_ name: String, _ tier: Tier, _ targets: [String] = [], _ products: [Target.Dependency] = []) {
        (self.name, self.tier, self.targets, self.products) = (name, tier, targets, products)
    }
}

func product(_ name: String, _ package: String) -> Target.Dependency { .product(name: name, package: package) }

let collections: [Target.Dependency] = [
    product("HashTreeCollections", "swift-collections"), product("DequeModule", "swift-collections"),
]
let logging = product("Logging", "swift-log")
let grpc: [Target.Dependency] = [
    product("GRPCCore", "grpc-swift-2"), product("GRPCProtobuf", "grpc-swift-protobuf"),
    product("SwiftProtobuf", "swift-protobuf"),
]

let nio: [Target.Dependency] = [product("NIOCore", "swift-nio"), product("NIOPosix", "swift-nio")]
let nioHTTP = product("NIOHTTP1", "swift-nio")
let nioTLS = product("NIOTLS", "swift-nio")
let nioSSL = product("NIOSSL", "swift-nio-ssl")
let httpClient = product("AsyncHTTPClient", "async-http-client")

let modules: [Module] = [
    // Words
    Module("SwarmCore", .pure),
    Module("SwarmModel", .pure, ["SwarmCore"]),
    // What the node asks of the world; its own module, so that a change in the planner rebuilds no adapter
    Module("Ports", .pure, ["SwarmCore", "SwarmModel"]),
    // Pure
    Module("GoTemplate", .pure),
    Module("LogGathering", .pure, ["SwarmCore", "SwarmModel", "Ports"]),
    // Stack files; the CLI's alone, never swarmd's
    Module("Compose", .pure, ["SwarmCore", "SwarmModel"]),
    Module("Membership", .pure, ["SwarmCore"], collections),
    Module("Consensus", .pure, ["SwarmCore"], collections),
    Module("Store", .pure, ["SwarmCore", "SwarmModel"], collections),
    Module("Allocation", .pure, ["SwarmCore", "SwarmModel", "Store"]),
    Module("Scheduling", .pure, ["SwarmCore", "SwarmModel", "Store"]),
    Module("Orchestration", .pure, ["SwarmCore", "SwarmModel", "Store"]),
    Module("Dispatching", .pure, ["SwarmCore", "SwarmModel", "Store"]),
    Module("Execution", .pure, ["SwarmCore", "SwarmModel"]),
    Module("Overlay", .pure, ["SwarmCore"]),
    Module("NameService", .pure, ["SwarmCore"]),
    Module(
        "SwarmNode", .pure,
        [
            "SwarmCore", "SwarmModel", "Membership", "Consensus", "Store", "Allocation", "Scheduling", "Orchestration",
            "Dispatching", "Execution", "Overlay", "NameService", "Ports", "GoTemplate", "LogGathering",
        ]),
    // The world in which seeds find what nobody thought of
    Module(
        "Simulation", .pure,
        [
            "SwarmCore", "SwarmModel", "Membership", "Consensus", "Store", "Allocation", "Dispatching", "Execution",
            "Overlay", "NameService", "Ports", "SwarmNode",
        ]),
    // Adapters
    Module("LibCrypto", .adapter, ["COpenSSL"]),
    Module("ClusterSecurity", .adapter, ["SwarmCore", "LibCrypto"]),
    Module(
        "RegistryClient", .adapter, ["SwarmCore", "SwarmModel", "LibCrypto"], nio + [nioHTTP, nioSSL, httpClient, logging]),
    Module(
        "Persistence", .adapter,
        ["SwarmCore", "SwarmModel", "Consensus", "Dispatching", "ClusterSecurity", "CSQLite"]),
    Module("ContainerdAPI", .adapter, [], grpc),
    Module(
        "ContainerdRuntime", .adapter,
        [
            "SwarmCore", "SwarmModel", "Ports", "Execution", "ContainerdAPI", "CLinux", "LibCrypto", "RegistryClient",
        ],
        grpc + [
            logging, product("GRPCNIOTransportHTTP2Posix", "grpc-swift-nio-transport"),
        ]),
    Module(
        "LinuxNetwork", .adapter,
        ["SwarmCore", "Overlay", "CNetlink", "CNFTables", "CLinux"],
        [logging]),
    Module("DNSServer", .adapter, ["SwarmCore", "NameService", "LinuxNetwork", "CLinux"], nio + [logging]),
    Module("EngineHTTP", .adapter, [], nio + [nioHTTP, nioSSL, logging]),
    Module(
        "DockerAPI", .adapter,
        ["SwarmCore", "SwarmModel", "Store", "Ports", "SwarmNode", "LogGathering", "EngineHTTP"],
        nio + [nioHTTP, logging]),
    Module(
        "SwarmWire", .adapter,
        [
            "SwarmCore", "SwarmModel", "Ports", "Store", "Consensus", "Membership", "Dispatching", "SwarmNode",
            "LogGathering",
        ]),
    Module(
        "Transport", .adapter,
        ["SwarmCore", "SwarmModel", "Membership", "Consensus", "SwarmNode", "LibCrypto", "ClusterSecurity", "SwarmWire"],
        nio + [nioTLS, nioSSL, logging]),
    Module(
        "SwarmDaemon", .adapter,
        [
            "Membership", "Dispatching", "ClusterSecurity", "LibCrypto", "Transport", "SwarmCore", "SwarmModel",
            "Store", "Consensus", "Ports", "SwarmNode", "Overlay", "NameService",
            "Execution", "Allocation", "Persistence", "ContainerdRuntime", "LinuxNetwork", "DNSServer",
            "EngineHTTP", "DockerAPI", "CLinux", "LogGathering", "SwarmWire",
        ],
        nio + [nioSSL, logging]),
    Module("SwarmClient", .adapter, ["SwarmCore", "SwarmModel"], nio + [nioHTTP, nioSSL, httpClient]),
    Module("SwarmCLI", .adapter, ["SwarmCore", "SwarmModel", "SwarmClient", "GoTemplate", "Compose"], nio + [nioHTTP]),
    Module("simulate", .tool, ["Simulation"]),
    Module("swarmctl", .executable, ["SwarmCLI"]),
    Module("swarmd", .executable, ["SwarmCore", "SwarmDaemon"], [logging]),
]

/// Seams without logic of their own, and planner steps that the node machine's scenarios exercise.
let untested: Set<String> = ["Ports", "Allocation", "Orchestration"]

/// Test targets and the modules that each exercises; a test target may import only these.
let tests: [(name: String, targets: [String], products: [Target.Dependency])] =
    modules.filter { $0.tier == .pure && !untested.contains($0.name) }
    .map { ("\($0.name)Tests", [$0.name] + $0.targets, $0.products) } + [
        ("TidyTests", ["SwarmCore"], []),
        ("ClusterTests", ["SwarmCore"], []),
        ("LibCryptoTests", ["LibCrypto"], []),
        ("ClusterSecurityTests", ["ClusterSecurity", "SwarmCore", "LibCrypto"], []),
        ("RegistryClientTests", ["RegistryClient", "SwarmCore", "SwarmModel", "LibCrypto"], nio + [nioHTTP, httpClient]),
        ("SwarmCLITests", ["SwarmCLI", "SwarmClient", "SwarmCore", "SwarmModel", "Compose"], []),
        (
            "PersistenceTests",
            ["Persistence", "SwarmCore", "SwarmModel", "Consensus", "Dispatching", "ClusterSecurity"], []
        ),
        (
            "ContainerdRuntimeTests",
            ["ContainerdRuntime", "ContainerdAPI", "SwarmCore", "SwarmModel", "Ports"],
            grpc + [logging]
        ),
        (
            "LinuxNetworkTests",
            ["LinuxNetwork", "SwarmCore", "Overlay", "CNetlink", "CNFTables", "CLinux"],
            [logging]
        ),
        (
            "DNSServerTests", ["DNSServer", "NameService", "LinuxNetwork", "SwarmCore"],
            nio + [logging]
        ),
        (
            "SwarmWireTests",
            [
                "SwarmWire", "SwarmCore", "SwarmModel", "Store", "Consensus", "Membership", "Dispatching", "SwarmNode",
                "Ports", "LogGathering",
            ],
            []
        ),
        (
            "TransportTests",
            [
                "Transport", "SwarmWire", "SwarmCore", "SwarmModel", "Consensus", "Membership", "Dispatching",
                "SwarmNode", "ClusterSecurity", "LibCrypto", "LogGathering", "Ports",
            ],
            nio + [nioTLS, nioSSL, logging]
        ),
        (
            "SwarmDaemonTests",
            [
                "SwarmDaemon", "DockerAPI", "SwarmCore", "SwarmModel", "SwarmNode", "SwarmWire", "Transport", "ClusterSecurity",
                "LibCrypto", "LogGathering", "Ports",
            ],
            [logging]
        ),
    ]

let checked: [SwiftSetting] = [
    .swiftLanguageMode(.v6), .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]
let strict: [SwiftSetting] = checked + [.strictMemorySafety()]
/// Generated code: Swift 6 mode, but its generator's habits are not ours to police.
let generated: [SwiftSetting] = [.swiftLanguageMode(.v6)]

let systemLibraries: [Target] = [
    .systemLibrary(
        name: "CNetlink", pkgConfig: "libnl-route-3.0", providers: [.apt(["libnl-3-dev", "libnl-route-3-dev"])]),
    .systemLibrary(name: "CNFTables", pkgConfig: "libnftables", providers: [.apt(["libnftables-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .target(name: "CLinux"),
]

let coreOnly = Context.environment["CORE_ONLY"] == "1"
let only = Context.environment["SWARM_ONLY"].map { Set($0.split(separator: ",").map(String.init)) }

/// The named modules and everything under them; all modules when none is named.
func selection() -> [Module] {
    let candidates = coreOnly ? modules.filter { $0.tier == .pure || $0.tier == .tool } : modules
    guard let only else { return candidates }
    var wanted = only
    wanted.insert("SwarmCore")
    var size = 0
    while size != wanted.count {
        size = wanted.count
        for module in candidates where wanted.contains(module.name) { wanted.formUnion(module.targets) }
    }
    return candidates.filter { wanted.contains($0.name) }
}

let selected = selection()
let selectedNames = Set(selected.map(\.name))
let usedLibraries = systemLibraries.filter { library in selected.contains { $0.targets.contains(library.name) } }
let known = selectedNames.union(usedLibraries.map(\.name))

let sourceTargets: [Target] = selected.map { module in
    let dependencies = module.targets.map { Target.Dependency(stringLiteral: $0) } + module.products
    let settings = module.name == "ContainerdAPI" ? generated : strict
    return module.tier == .executable || module.tier == .tool
        ? .executableTarget(name: module.name, dependencies: dependencies, swiftSettings: settings)
        : .target(name: module.name, dependencies: dependencies, swiftSettings: settings)
}
/// Folders of test targets that hold no sources.
let fixtures: [String: [String]] = ["ClusterTests": ["Corpus", "Scenarios"], "ComposeTests": ["Corpus", "Deployed"]]
let testTargets: [Target] = tests.filter { test in
    let subject = String(test.name.dropLast("Tests".count))
    let chosen = only.map { $0.contains(subject) || $0.contains(test.name) } ?? true
    return chosen && test.targets.allSatisfy(known.contains)
}.map { test in
    .testTarget(
        name: test.name, dependencies: test.targets.map { Target.Dependency(stringLiteral: $0) } + test.products,
        exclude: fixtures[test.name] ?? [], swiftSettings: checked)
}

let corePackages: [Package.Dependency] = [
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0")
]
let adapterPackages: [Package.Dependency] = [
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
    .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
]

let package = Package(
    name: "swarm",
    dependencies: coreOnly ? corePackages : corePackages + adapterPackages,
    targets: usedLibraries + sourceTargets + testTargets
)
