/// Docker's short form of a port: `[IP:][PUBLISHED[-PUBLISHED]:]TARGET[-TARGET][/PROTOCOL]`.
struct PortNotation {
    struct Port {
        var target: Int
        /// 0: to be chosen.
        var published: Int
    }

    var address: String
    var proto: String
    /// In the order in which Docker's client lists them, which is by the target's text.
    var ports: [Port]

    init?(_ text: String) {
        let halves = text.split(separator: "/", omittingEmptySubsequences: false)
        guard halves.count <= 2, let body = halves.first, !body.isEmpty else { return nil }
        proto = halves.count == 2 ? halves[1].lowercased() : "tcp"
        if proto.isEmpty { proto = "tcp" }
        guard ["tcp", "udp", "sctp"].contains(proto) else { return nil }
        var parts = body.split(separator: ":", omittingEmptySubsequences: false)
        guard let target = Self.range(parts.removeLast()) else { return nil }
        let publishedText = parts.popLast() ?? ""
        var address = parts.joined(separator: ":")
        if address.hasPrefix("[") && address.hasSuffix("]") { address = String(address.dropFirst().dropLast()) }
        guard address.isEmpty || Self.isAddress(address) else { return nil }
        self.address = address
        if publishedText.isEmpty {
            ports = target.map { Port(target: $0, published: 0) }
        } else {
            guard let published = Self.range(publishedText) else { return nil }
            if target.count == published.count {
                ports = zip(target, published).map { Port(target: $0, published: $1) }
            } else if target.count == 1 {
                ports = published.map { Port(target: target.lowerBound, published: $0) }
            } else {
                return nil
            }
        }
        // Each text is made once: a range may stand for every port there is.
        let keyed = ports.map { (text: String($0.target), port: $0) }
        ports = keyed.sorted { ($0.text, $0.port.published) < ($1.text, $1.port.published) }.map(\.port)
    }

    /// `80` or `80-82`, at most `StackLimits.portRangeMax` long by the size of a port.
    static func range(_ text: Substring) -> ClosedRange<Int>? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count <= 2, let first = ends.first.flatMap({ UInt16($0) }), !text.contains("+") else {
            return nil
        }
        guard let last = ends.count == 2 ? UInt16(ends[1]) : first, first <= last else { return nil }
        return Int(first)...Int(last)
    }

    private static func isAddress(_ text: String) -> Bool {
        if text.contains(":") { return text.utf8.allSatisfy { "0123456789abcdefABCDEF:.%".utf8.contains($0) } }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}

/// Docker's short form of a mount: `[SOURCE:]TARGET[:OPTIONS]`.
struct MountNotation {
    var type = "volume"
    var source = ""
    var target = ""
    var isReadOnly = false
    var isNoCopy = false
    var propagation: String?

    struct Problem: Error { var message: String }

    init(_ text: String) throws(Problem) {
        guard !text.isEmpty else { throw Problem(message: "invalid empty volume spec") }
        guard text.count > 2 else {
            target = text
            return
        }
        var buffer = ""
        var options = ""
        let end: Character = "\0"
        for character in Array(text) + [end] {
            let isDrive = character == ":" && buffer.count == 1 && buffer.first?.isLetter == true
            guard !isDrive && (character == ":" || character == end) else {
                buffer.append(character)
                continue
            }
            let isEnd = character == end
            guard !buffer.isEmpty else {
                throw Problem(message: "invalid spec: \(text): empty section between colons")
            }
            if source.isEmpty {
                if isEnd { target = buffer } else { source = buffer }
            } else if target.isEmpty {
                target = buffer
            } else if !isEnd {
                throw Problem(message: "invalid spec: \(text): too many colons")
            } else {
                options = buffer
            }
            buffer = ""
        }
        for option in options.split(separator: ",") {
            switch option {
            case "ro": isReadOnly = true
            case "rw": isReadOnly = false
            case "nocopy": isNoCopy = true
            case "private", "rprivate", "shared", "rshared", "slave", "rslave": propagation = String(option)
            default: continue
            }
        }
        if !source.isEmpty && Self.isFile(source) { type = "bind" }
    }

    /// Whether a source is a path rather than a volume's name.
    private static func isFile(_ source: String) -> Bool {
        if let first = source.first, [".", "/", "~"].contains(first) { return true }
        return source.hasPrefix("\\\\") || isDrive(source)
    }

    private static func isDrive(_ path: String) -> Bool {
        let start = Array(path.prefix(2))
        return start.count == 2 && start[0].isASCII && start[0].isLetter && start[1] == ":"
    }

    /// Whether a path is absolute on Windows, where it may have to exist.
    static func isAbsoluteOnWindows(_ path: String) -> Bool {
        let third = path.dropFirst(2).first
        return path.hasPrefix("\\\\") || (isDrive(path) && (third == "/" || third == "\\"))
    }
}
