import FoundationEssentials
import Glibc
import Ports
import SwarmCore
import SwarmModel

/// What must be known of a container after a restart of swarmd; one file in the container's directory.
struct ContainerRecord: Codable, Sendable {
    var id: String
    var name: String
    var image: String
    var imageID: String
    var labels: [String: String]
    var arguments: [String]
    var environment: [String]
    var stopSignal: String
    var createdAt: Timestamp
    var startedAt: Timestamp?
    var finishedAt: Timestamp?
    var exitCode: Int?
    var oomKilled = false
    var spec: ContainerSpec
    var anonymousVolumes: [String] = []
    /// The process as runc was given it; what further processes in the container start from.
    var process: OCISpecification.Process?
    /// The task's health check with what it inherits from the image; nil when there is none.
    var healthcheck: HealthConfig?
    /// What the last check that changed anything found.
    var isHealthy: Bool?
    var logDriver: String?
    var logOptions: [String: String]?
    var limits: ResourceLimit?
    var reservations: Resources?
    /// The network namespace's path; empty for the host's, nil for one of its own.
    var networkNamespace: String?
    /// Where volumes and binds come from on this node.
    var mounts: [ContainerMount]?
    /// Nil for a task's container.
    var standalone: StandaloneContainer?

    /// Whether its output is kept.
    var isLogged: Bool { logDriver != "none" || spec.tty == true }

    /// - Parameters:
    ///   - path: where ``write(to:)`` put it.
    ///   - privatePath: where ``writePrivate(to:)`` put the rest; after a reboot that is gone, and so is every process
    ///     that could need it.
    /// - Returns: nil for a record that cannot be read: its container was never finished and is to be removed.
    static func read(_ path: String, private privatePath: String) -> ContainerRecord? {
        func decode<Value: Decodable>(_ type: Value.Type, _ path: String) -> Value? {
            FileManager.default.contents(atPath: path).flatMap { try? JSONDecoder().decode(type, from: $0) }
        }
        guard var record = decode(ContainerRecord.self, path) else { return nil }
        if let rest = decode(PrivateRecord.self, privatePath) {
            (record.arguments, record.environment) = (rest.arguments, rest.environment)
            (record.spec, record.process, record.healthcheck) = (rest.spec, rest.process, rest.healthcheck)
        }
        return record
    }

    /// Replaces the file in one step, so that a crash leaves the old one or the new one.
    ///
    /// The file may lie on a disk, so nothing that a task's author may want to keep to themselves is in it.
    func write(to path: String) throws(SwarmError) {
        // It is started again after a reboot, from this file alone; Docker keeps it so, too.
        guard standalone == nil else { return try Self.write(self, to: path, isPrivate: true) }
        var plain = self
        (plain.arguments, plain.environment) = ([], [])
        (plain.process, plain.healthcheck) = (nil, nil)
        plain.spec = ContainerSpec(image: spec.image)
        plain.spec.tty = spec.tty
        try Self.write(plain, to: path)
    }

    /// What ``write(to:)`` leaves out; it does not change after the container is made.
    func writePrivate(to path: String) throws(SwarmError) {
        try Self.write(
            PrivateRecord(
                arguments: arguments, environment: environment, spec: spec, process: process,
                healthcheck: healthcheck),
            to: path)
    }

    private static func write(_ value: some Encodable, to path: String, isPrivate: Bool = false)
        throws(SwarmError)
    {
        do {
            let bytes = try JSONEncoder().encode(value)
            if isPrivate { return try ProtectedRecord.write(bytes, to: path) }
            try bytes.write(to: URL(filePath: path), options: .atomic)
        } catch let error as SwarmError {
            throw error
        } catch {
            throw SwarmError(.resourceExhausted, "cannot write \(path)", cause: "\(error)")
        }
    }

    func info(state: ContainerState, pid: Int?) -> ContainerInfo {
        var info = ContainerInfo(
            id: id, name: name, image: image, imageID: imageID, labels: labels, state: state,
            createdAt: createdAt)
        info.pid = pid
        info.exitCode = state == .exited ? exitCode ?? 137 : exitCode
        info.oomKilled = oomKilled
        (info.startedAt, info.finishedAt) = (startedAt, finishedAt)
        (info.arguments, info.environment) = (arguments, environment)
        info.mounts = mounts ?? []
        info.workingDirectory = process?.cwd ?? spec.dir ?? ""
        let network: ContainerRequest.NetworkMode =
            switch networkNamespace {
            case nil: .none
            case "": .host
            case let path?: .namespace(path: path)
            }
        info.request = ContainerRequest(
            id: id, name: name, image: image, spec: spec, limits: limits, reservations: reservations,
            labels: labels, network: network)
        info.request?.standalone = standalone
        info.request?.logDriver = logDriver ?? ""
        info.request?.logOptions = logOptions ?? [:]
        return info
    }
}

/// The part of a container's record that must not lie on a disk: what its task says to run, and with what.
private struct PrivateRecord: Codable {
    var arguments: [String]
    var environment: [String]
    var spec: ContainerSpec
    var process: OCISpecification.Process?
    var healthcheck: HealthConfig?
}

/// Signals by name, as `--stop-signal` takes them.
enum SignalName {
    private static let numbers: [String: UInt32] = [
        "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9,
        "USR1": 10,
        "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18,
        "STOP": 19,
        "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27,
        "WINCH": 28,
        "IO": 29, "PWR": 30, "SYS": 31,
    ]

    static func number(_ text: String) throws(SwarmError) -> UInt32 {
        if let number = UInt32(text), (1...64).contains(number) { return number }
        let upper = text.uppercased()
        guard let number = numbers[upper.hasPrefix("SIG") ? String(upper.dropFirst(3)) : upper] else {
            throw SwarmError(.invalidArgument, "Invalid signal: \(text)")
        }
        return number
    }
}

/// Files for root's eyes, replaced in one step.
enum ProtectedRecord {
    static func write(_ bytes: Data, to path: String) throws(SwarmError) {
        let temporary = path + ".new"
        let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure(path) }
        defer { close(descriptor) }
        var rest = [UInt8](bytes)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            guard count > 0 else {
                if count < 0 && errno == EINTR { continue }
                throw failure(path)
            }
            rest = rest.dropFirst(count)
        }
        guard fsync(descriptor) == 0, unsafe rename(temporary, path) == 0 else { throw failure(path) }
    }

    private static func failure(_ path: String) -> SwarmError {
        SwarmError(.resourceExhausted, "cannot write \(path): errno \(errno)")
    }
}
