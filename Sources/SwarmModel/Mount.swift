import SwarmCore

/// A file system mounted into a container.
package struct Mount: Sendable, Hashable, Codable {
    /// `volume` (default), `bind`, `tmpfs`.
    package var type: String?
    package var source: String?
    package var target: String?
    package var readOnly: Bool?
    package var consistency: String?
    package var bindOptions: BindOptions?
    package var volumeOptions: VolumeOptions?
    package var tmpfsOptions: TmpfsOptions?
    package var imageOptions: ImageOptions?

    package init(
        type: String? = nil, source: String? = nil, target: String? = nil, readOnly: Bool? = nil,
        consistency: String? = nil, bindOptions: BindOptions? = nil, volumeOptions: VolumeOptions? = nil,
        tmpfsOptions: TmpfsOptions? = nil, imageOptions: ImageOptions? = nil
    ) {
        self.type = type
        self.source = source
        self.target = target
        self.readOnly = readOnly
        self.consistency = consistency
        self.bindOptions = bindOptions
        self.volumeOptions = volumeOptions
        self.tmpfsOptions = tmpfsOptions
        self.imageOptions = imageOptions
    }

    enum CodingKeys: String, CodingKey {
        case type = "Type", source = "Source", target = "Target", readOnly = "ReadOnly",
            consistency = "Consistency", bindOptions = "BindOptions", volumeOptions = "VolumeOptions",
            tmpfsOptions = "TmpfsOptions", imageOptions = "ImageOptions"
    }
}

extension Mount {
    /// Refuses what no node could mount; what depends on a node, such as a bind's source, is its tasks' to say.
    func validate() throws(SwarmError) {
        let type = type.flatMap { $0.isEmpty ? nil : $0 } ?? "volume"
        guard ["bind", "volume", "tmpfs", "npipe", "cluster", "image"].contains(type) else {
            throw Rejection.engine("invalid MountType: \"\(type)\"")
        }
        func refuse(_ reason: String) -> SwarmError {
            Rejection.invalid("ContainerSpec: invalid mount config for type \"\(type)\": \(reason)")
        }
        let (target, source) = (target ?? "", source ?? "")
        guard !target.isEmpty else { throw refuse("field Target must not be empty") }
        guard Self.isAbsolute(target) else {
            throw refuse("invalid mount path: '\(target)' mount path must be absolute")
        }
        guard target != "/" else { throw refuse("invalid specification: destination can't be '/'") }
        let propagation = bindOptions?.propagation ?? ""
        guard ["", "rprivate", "private", "rshared", "shared", "rslave", "slave"].contains(propagation) else {
            throw Rejection.engine("invalid MountPropagation: \"\(propagation)\"")
        }
        switch type {
        case "bind":
            guard !source.isEmpty else { throw refuse("field Source must not be empty") }
            guard Self.isAbsolute(source) else {
                throw refuse("invalid mount path: '\(source)' mount path must be absolute")
            }
        case "tmpfs":
            guard source.isEmpty else { throw refuse("field Source must not be specified") }
            if let size = tmpfsOptions?.sizeBytes, size < 0 { throw refuse("size must not be negative") }
        default: break
        }
        let foreign: [(String, Bool)] = [
            ("BindOptions", bindOptions != nil && type != "bind"),
            ("VolumeOptions", volumeOptions != nil && type != "volume" && type != "cluster"),
            ("TmpfsOptions", tmpfsOptions != nil && type != "tmpfs"),
        ]
        for (field, isForeign) in foreign where isForeign {
            throw refuse("field \(field) must not be specified")
        }
    }

    /// A template is judged by the node that expands it.
    private static func isAbsolute(_ path: String) -> Bool { path.hasPrefix("/") || path.hasPrefix("{{") }
}

/// Options of a bind mount.
package struct BindOptions: Sendable, Hashable, Codable {
    package var propagation: String?
    package var nonRecursive: Bool?
    package var createMountpoint: Bool?
    package var readOnlyNonRecursive: Bool?
    package var readOnlyForceRecursive: Bool?

    package init(
        propagation: String? = nil, nonRecursive: Bool? = nil, createMountpoint: Bool? = nil,
        readOnlyNonRecursive: Bool? = nil, readOnlyForceRecursive: Bool? = nil
    ) {
        self.propagation = propagation
        self.nonRecursive = nonRecursive
        self.createMountpoint = createMountpoint
        self.readOnlyNonRecursive = readOnlyNonRecursive
        self.readOnlyForceRecursive = readOnlyForceRecursive
    }

    enum CodingKeys: String, CodingKey {
        case propagation = "Propagation", nonRecursive = "NonRecursive",
            createMountpoint = "CreateMountpoint", readOnlyNonRecursive = "ReadOnlyNonRecursive",
            readOnlyForceRecursive = "ReadOnlyForceRecursive"
    }
}

/// Options of a named or anonymous volume.
package struct VolumeOptions: Sendable, Hashable, Codable {
    package var noCopy: Bool?
    package var labels: [String: String]?
    package var driverConfig: Driver?
    package var subpath: String?

    package init(
        noCopy: Bool? = nil, labels: [String: String]? = nil, driverConfig: Driver? = nil,
        subpath: String? = nil
    ) {
        self.noCopy = noCopy
        self.labels = labels
        self.driverConfig = driverConfig
        self.subpath = subpath
    }

    enum CodingKeys: String, CodingKey {
        case noCopy = "NoCopy", labels = "Labels", driverConfig = "DriverConfig", subpath = "Subpath"
    }
}

/// Options of a tmpfs mount.
package struct TmpfsOptions: Sendable, Hashable, Codable {
    package var sizeBytes: Int64?
    package var mode: UInt32?
    package var options: [[String]]?

    package init(sizeBytes: Int64? = nil, mode: UInt32? = nil, options: [[String]]? = nil) {
        self.sizeBytes = sizeBytes
        self.mode = mode
        self.options = options
    }

    enum CodingKeys: String, CodingKey {
        case sizeBytes = "SizeBytes", mode = "Mode", options = "Options"
    }
}

/// Options of an image mount.
package struct ImageOptions: Sendable, Hashable, Codable {
    package var subpath: String?

    package init(subpath: String? = nil) {
        self.subpath = subpath
    }

    enum CodingKeys: String, CodingKey {
        case subpath = "Subpath"
    }
}
