/// What a value of a stack file may look like, and by that what it is turned into.
///
/// Checking a value against its shape also brings it to its one canonical form: long form for short form,
/// a mapping for a list of `KEY=VALUE`, Go's spelling of a duration, bytes for `1.5g`.
indirect enum Shape: Sendable {
    case anything
    case string
    case boolean
    /// One that Docker never converts an interpolated text to.
    case literalBoolean
    /// Docker converts an interpolated text to it only where `isCast`.
    case integer(isCast: Bool)
    case number(isCast: Bool)
    /// A number, of which the whole part counts.
    case truncated(isCast: Bool)
    case duration
    /// `1.5g`; canonical: bytes as text.
    case size
    /// `'0.5'`; canonical: text.
    case cpus
    /// `0440`.
    case fileMode
    case choice([String])
    /// A string or a number; canonical: a string.
    case text
    case list(Shape, isUnique: Bool)
    /// A string or a list of strings; canonical: a list.
    case strings
    /// A mapping with free keys, which values of the shape follow.
    case map(Shape, KeyRule)
    case object(ObjectShape)
    /// A command line or its words; canonical: words.
    case words
    /// A health check's `test`.
    case test
    /// `KEY: value` or `- KEY=value`; canonical: a mapping to strings.
    case keyValues(nullIsKept: Bool)
    /// Driver options: values are strings, numbers, perhaps null; canonical: strings.
    case options(allowsNull: Bool)
    /// `extra_hosts`; canonical: `name:address` each.
    case hosts
    case expose
    case ports
    case mounts
    /// A service's `secrets` or `configs`.
    case fileReferences
    case attachments
    case dependencies
    case envFiles
    case ulimits
    case external
    case build
    case extends
    case includes
    /// `null` may stand for the whole.
    case orNull(Shape)
}

/// Which keys a mapping may have.
enum KeyRule: Sendable {
    case any
    /// `^[a-zA-Z0-9._-]+$`.
    case name

    func allows(_ key: String) -> Bool {
        switch self {
        case .any: true
        case .name:
            !key.isEmpty
                && key.utf8.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                        || "._-".utf8.contains(byte)
                }
        }
    }
}

/// What the Docker client does with a key.
enum DockerTreatment: Sendable {
    case used
    /// Named in `Ignoring unsupported options:`.
    case ignored
    /// Named in `Ignoring deprecated options:` with a hint.
    case deprecated(String)
    /// Accepted without a word.
    case dropped
    /// The whole file is refused with a hint.
    case forbidden(String)
    /// Not in its schema.
    case unknown
}

/// One key of an object.
struct Row: Sendable {
    var key: String
    var shape: Shape
    var docker = DockerTreatment.used
    /// Whether a zero, false or empty value is printed by `stack config`.
    var keepsZero = false
    /// The minor file version 3.x that brought the key.
    var since = 0
    /// Why the key has no meaning in a swarm; nil when it has.
    var meaningless: String?
}

/// An object with known keys, in the order in which `docker stack config` prints them.
final class ObjectShape: Sendable {
    let rows: [Row]
    let index: [String: Int]
    let required: [String]
    /// Whether Docker takes `x-…` keys here; the specification does everywhere.
    let extensionsSince: Int?
    /// Whether Docker passes over keys that it does not know.
    let isOpenInDocker: Bool

    init(_ rows: [Row], required: [String] = [], extensionsSince: Int? = nil, isOpenInDocker: Bool = false) {
        self.rows = rows
        index = Dictionary(rows.enumerated().map { ($1.key, $0) }) { first, _ in first }
        self.required = required
        self.extensionsSince = extensionsSince
        self.isOpenInDocker = isOpenInDocker
    }

    subscript(key: String) -> Row? { index[key].map { rows[$0] } }
}

extension Row {
    /// A key of both dialects.
    static func key(_ key: String, _ shape: Shape, keepsZero: Bool = false, since: Int = 0) -> Row {
        Row(key: key, shape: shape, keepsZero: keepsZero, since: since)
    }

    /// A key of the specification that Docker's schema does not have.
    static func newer(_ key: String, _ shape: Shape, meaningless: String? = nil) -> Row {
        Row(key: key, shape: shape, docker: .unknown, keepsZero: true, meaningless: meaningless)
    }

    /// A key that Docker accepts, names as unsupported and passes over.
    static func ignored(_ key: String, _ shape: Shape, _ why: String, since: Int = 0) -> Row {
        Row(key: key, shape: shape, docker: .ignored, since: since, meaningless: why)
    }
}
