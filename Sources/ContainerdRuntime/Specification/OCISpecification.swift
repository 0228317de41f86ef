/// A container for runc (OCI runtime specification 1.0.2, config.md); only what swarmd sets.
struct OCISpecification: Codable, Sendable {
    var ociVersion = "1.0.2-dev"
    var process: Process
    var root: Root
    var hostname: String?
    var mounts: [Mount]
    var linux: Linux

    struct Root: Codable, Sendable {
        var path = "rootfs"
        var readonly: Bool?
    }

    struct Process: Codable, Sendable {
        var terminal: Bool?
        var user: User
        var args: [String]
        var env: [String]
        var cwd: String
        var capabilities: Capabilities?
        var rlimits: [ResourceLimit]?
        var noNewPrivileges: Bool?
        var oomScoreAdj: Int64?
    }

    struct User: Codable, Sendable, Equatable {
        var uid: UInt32
        var gid: UInt32
        var additionalGids: [UInt32]?
    }

    struct Capabilities: Codable, Sendable {
        var bounding: [String]
        var effective: [String]?
        var permitted: [String]?
    }

    struct ResourceLimit: Codable, Sendable {
        var type: String
        var hard: UInt64
        var soft: UInt64
    }

    struct Mount: Codable, Sendable, Equatable {
        var destination: String
        var type: String?
        var source: String?
        var options: [String]?
    }

    struct Linux: Codable, Sendable {
        var namespaces: [Namespace]
        var sysctl: [String: String]?
        var resources: Resources
        var cgroupsPath: String
        var maskedPaths: [String]?
        var readonlyPaths: [String]?
        var seccomp: Seccomp?
    }

    struct Namespace: Codable, Sendable, Equatable {
        var type: String
        var path: String?
    }

    struct Resources: Codable, Sendable {
        var devices: [DeviceRule]
        var memory: Memory?
        var cpu: CPU?
        var pids: Pids?
    }

    struct DeviceRule: Codable, Sendable {
        var allow: Bool
        var type: String?
        var major: Int64?
        var minor: Int64?
        var access: String
    }

    struct Memory: Codable, Sendable {
        var limit: Int64?
        var reservation: Int64?
        var swap: Int64?
    }

    struct CPU: Codable, Sendable {
        var quota: Int64?
        var period: UInt64?
    }

    struct Pids: Codable, Sendable { var limit: Int64 }

    struct Seccomp: Codable, Sendable {
        var defaultAction: String
        var architectures: [String]
        var syscalls: [SystemCalls]
    }

    struct SystemCalls: Codable, Sendable {
        var names: [String]
        var action: String
        var errnoRet: UInt32?
        var args: [Argument]?

        init(names: [String], action: String, errnoRet: UInt32? = nil, args: [Argument]? = nil) {
            (self.names, self.action, self.errnoRet, self.args) = (names, action, errnoRet, args)
        }
    }

    struct Argument: Codable, Sendable {
        var index: UInt32
        var value: UInt64
        var valueTwo: UInt64?
        var op: String
    }
}
