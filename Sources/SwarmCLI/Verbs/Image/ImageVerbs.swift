package import SwarmClient
package import SwarmCore
import SwarmModel

#if canImport(Glibc)
    import Glibc
#endif

/// `swarmctl image …`.
enum ImageVerbs {
    static let command = Command(
        "image", "Manage images", children: [history, importing, inspect, list, load, prune, pull, remove, tag])

    static let load = Command(
        "load", "Load an image from a tar archive or STDIN",
        flags: [
            Flag("input", short: "i", .string, "Read from tar archive file, instead of STDIN").offering(.files),
            Flag(
                "platform", .string,
                "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\""),
            Flag("quiet", short: "q", .bool, "Suppress the load output"),
        ]
    ) { invocation in
        let path = invocation.flag("input") ?? "-"
        if path == "-", invocation.console.isInputTerminal {
            throw CommandFailure("requested load from stdin, but stdin is empty")
        }
        var query: Query = ["quiet": invocation.isOn("quiet") ? "1" : "0"]
        if let platform = invocation.flag("platform") { query.append("platform", platform) }
        try await upload(path, "/images/load", query, invocation, quiet: invocation.isOn("quiet"))
    }

    static let importing = Command(
        "import", "Import the contents from a tarball to create a filesystem image",
        usage: "[OPTIONS] file|- [REPOSITORY[:TAG]]", arguments: .between(1...2),
        flags: [
            Flag("change", short: "c", .list(), "Apply Dockerfile instruction to the created image"),
            Flag("message", short: "m", .string, "Set commit message for imported image"),
            Flag("platform", .string, "Set platform if server is multi-platform capable"),
        ]
    ) { invocation in
        let path = invocation.arguments[0]
        if path.contains("://") {
            throw CommandFailure(
                "importing from \(path) is not supported: fetch it and import from standard input")
        }
        var query: Query = ["fromSrc": "-"]
        if invocation.arguments.count == 2 {
            guard let reference = ImageReference(invocation.arguments[1]) else {
                throw CommandFailure("invalid reference format: \(invocation.arguments[1])")
            }
            query.append("repo", reference.familiarName)
            query.append("tag", reference.tag ?? ImageReference.defaultTag)
        }
        if let message = invocation.flag("message") { query.append("message", message) }
        if let platform = invocation.flag("platform") { query.append("platform", platform) }
        for change in invocation.list("change") { query.append("changes", change) }
        try await upload(path, "/images/create", query, invocation, quiet: false)
    }

    private static func upload(
        _ path: String, _ target: String, _ query: Query, _ invocation: Invocation, quiet: Bool
    ) async throws {
        let descriptor = path == "-" ? STDIN_FILENO : try TextFile.open(path)
        defer { if path != "-" { close(descriptor) } }
        let stream = try await invocation.client.upload(
            target, query, contentType: "application/x-tar", from: FileBytes(descriptor: descriptor))
        try await ProgressStream.show(stream, invocation, quiet: quiet)
    }

    static let pull = Command(
        "pull", "Download an image from a registry", usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
        arguments: .exactly(1),
        flags: [
            Flag("platform", .string, "Set platform if server is multi-platform capable"),
            Flag("quiet", short: "q", .bool, "Suppress verbose output"),
        ]
    ) { invocation in
        guard let reference = ImageReference(invocation.arguments[0]) else {
            throw CommandFailure("invalid reference format: \(invocation.arguments[0])")
        }
        let isQuiet = invocation.isOn("quiet")
        if reference.tag == nil && reference.digest == nil && !isQuiet {
            invocation.console.print("Using default tag: \(ImageReference.defaultTag)")
        }
        var query: Query = ["fromImage": reference.repository]
        query.append("tag", reference.digest ?? reference.tag ?? ImageReference.defaultTag)
        if let platform = invocation.flag("platform") { query.append("platform", platform) }
        let auth = RegistryLogin.header(for: invocation.arguments[0])
        let stream = try await invocation.client.stream(
            .post, "/images/create", query, headers: auth.map { [("X-Registry-Auth", $0)] } ?? [])
        try await ProgressStream.show(stream, invocation, quiet: isQuiet)
        invocation.console.print(reference.canonical)
    }

    static let list = Command(
        "ls", "List images", usage: "[OPTIONS] [REPOSITORY[:TAG]]", arguments: .atMost(1),
        flags: [
            Flag("all", short: "a", .bool, "Show all images (default hides intermediate images)"),
            Flag("digests", .bool, "Show digests"), ListFlags.filter, ListFlags.format,
            ListFlags.noTruncation,
            Flag("quiet", short: "q", .bool, "Only show image IDs"),
        ]
    ) { invocation in
        var filters = invocation.filters
        if let name = invocation.arguments.first { filters.append((key: "reference", value: name)) }
        var query = Query()
        if invocation.isOn("all") { query.append("all", "1") }
        query.append(filters: filters)
        let images: [ImageSummary] = try await invocation.client.get("/images/json", query)
        let listing = ImageListing.listing(
            images, matching: invocation.arguments.first, digests: invocation.isOn("digests"),
            truncates: !invocation.isOn("no-trunc"), now: Timestamp(nanoseconds: WallClock.nanoseconds))
        invocation.console.write(
            try listing.render(format: invocation.flag("format"), quiet: invocation.isOn("quiet")))
    }.aliased("list")

    static let inspect = Command(
        "inspect", "Display detailed information on one or more images", usage: "[OPTIONS] IMAGE [IMAGE...]",
        arguments: .atLeast(1), flags: [Inspection.formatFlag]
    ) { invocation in
        try await Inspection.run(invocation) { try await invocation.client.json("/images/\($0)/json") }
    }

    static let tag = Command(
        "tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", arguments: .exactly(2)
    ) { invocation in
        guard let target = ImageReference(invocation.arguments[1]), target.digest == nil else {
            throw CommandFailure(
                "\"\(invocation.arguments[1])\" is not a valid repository/tag: invalid reference format")
        }
        let query: Query = ["repo": target.familiarName, "tag": target.tag ?? ImageReference.defaultTag]
        _ = try await invocation.client.bytes(.post, "/images/\(invocation.arguments[0])/tag", query)
    }

    static let remove = Command(
        "rm", "Remove one or more images", usage: "[OPTIONS] IMAGE [IMAGE...]", arguments: .atLeast(1),
        flags: [
            Flag("force", short: "f", .bool, "Force removal of the image"),
            Flag("no-prune", .bool, "Do not delete untagged parents"),
        ]
    ) { invocation in
        try await forEachArgument(invocation) { argument in
            var query = Query()
            if invocation.isOn("force") { query.append("force", "1") }
            if invocation.isOn("no-prune") { query.append("noprune", "1") }
            let answer = try JSONValue(
                parsing: try await invocation.client.bytes(.delete, "/images/" + argument, query))
            let lines = answer.elements.flatMap { $0.members.map { "\($0.key): \($0.value.text ?? "")" } }
            return lines.isEmpty ? nil : lines.joined(separator: "\n")
        }
    }.aliased("remove")
}

/// Progress that the engine reports as one JSON object per line.
enum ProgressStream {
    /// - Parameter toErrors: where output is somebody else's.
    static func show(
        _ stream: EngineStream, _ invocation: Invocation, quiet: Bool, toErrors: Bool = false
    ) async throws {
        var splitter = LineSplitter()
        var lines = PullProgress(isTerminal: invocation.console.isTerminal)
        for try await part in stream {
            for line in splitter.lines(adding: part) { try show(line, &lines, invocation, quiet, toErrors) }
        }
        let rest = splitter.remainder()
        if !rest.isEmpty { try show(rest, &lines, invocation, quiet, toErrors) }
    }

    private static func show(
        _ line: [UInt8], _ lines: inout PullProgress, _ invocation: Invocation, _ quiet: Bool, _ toErrors: Bool
    ) throws {
        let message = try JSONValue(parsing: line)
        if let text = message["errorDetail"]?["message"]?.text ?? message["error"]?.text {
            throw CommandFailure(text)
        }
        guard !quiet else { return }
        let text = lines.text(for: message)
        guard !toErrors else { return invocation.console.writeError(bytes: Array(text.utf8)) }
        invocation.console.write(text)
        invocation.console.flush()
    }
}

/// Lines of progress, one for each layer; only changes of state are written where nothing can be redrawn.
package struct PullProgress: Sendable {
    private let isTerminal: Bool
    private var order: [String] = []
    private var last: [String: String] = [:]

    package init(isTerminal: Bool) { self.isTerminal = isTerminal }

    package mutating func text(for message: JSONValue) -> String {
        if let text = message["stream"]?.text { return text }
        guard let status = message["status"]?.text else { return "" }
        guard let id = message["id"]?.text, !id.isEmpty else { return status + "\n" }
        guard isTerminal else {
            guard last[id] != status else { return "" }
            last[id] = status
            return "\(id): \(status)\n"
        }
        let line = "\(id): \(status)\(amount(message["progressDetail"]))"
        last[id] = line
        guard let index = order.firstIndex(of: id) else {
            order.append(id)
            return line + "\n"
        }
        let up = order.count - index
        return "\u{1b}[\(up)A\r\(line)\u{1b}[K\u{1b}[\(up)B\r"
    }

    private func amount(_ detail: JSONValue?) -> String {
        guard let current = detail?["current"]?.integer, current > 0 else { return "" }
        guard let total = detail?["total"]?.integer, total > 0 else { return " " + Size.human(current) }
        return " \(Size.human(current))/\(Size.human(total))"
    }
}

/// `image ls`.
package enum ImageListing {
    private static let none = "<none>"

    package static func listing(
        _ images: [ImageSummary], matching pattern: String?, digests: Bool, truncates: Bool, now: Timestamp
    ) -> Listing {
        var listing = Listing(
            columns: [
                Column("Repository", "REPOSITORY"), Column("Tag", "TAG"), Column("Digest", "DIGEST"),
                Column("ID", "IMAGE ID"), Column("CreatedSince", "CREATED"),
                Column("CreatedAt", "CREATED AT"),
                Column("Size", "SIZE"),
            ],
            shown: digests
                ? ["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"]
                : ["Repository", "Tag", "ID", "CreatedSince", "Size"])
        let sorted = images.sorted { ($0.created ?? 0, $1.id) > ($1.created ?? 0, $0.id) }
        for image in sorted {
            for entry in names(image) where matches(entry, pattern) {
                let created = Timestamp(nanoseconds: (image.created ?? 0) * 1_000_000_000)
                listing.rows.append([
                    "Repository": .string(entry.repository), "Tag": .string(entry.tag),
                    "Digest": .string(entry.digest),
                    "ID": .string(truncates ? image.id.shortID : image.id),
                    "CreatedSince": .string(Age.text(now - created) + " ago"),
                    "CreatedAt": .string(created.goDescription),
                    "Size": .string(Size.human(image.sizeBytes ?? 0)), "Containers": "N/A",
                    "SharedSize": "N/A",
                    "UniqueSize": "N/A",
                ])
            }
        }
        return listing
    }

    private struct Entry {
        var repository: String
        var tag: String
        var digest: String
    }

    /// One entry for each tag; an image without any is still there.
    private static func names(_ image: ImageSummary) -> [Entry] {
        let digests = Dictionary(
            (image.repoDigests ?? []).compactMap { text -> (String, String)? in
                let parts = text.split(separator: "@", maxSplits: 1).map(String.init)
                return parts.count == 2 ? (parts[0], parts[1]) : nil
            }
        ) { first, _ in first }
        let tagged = (image.repoTags ?? []).sorted().compactMap { text -> Entry? in
            guard let colon = text.lastIndex(of: ":") else { return nil }
            let repository = String(text[..<colon])
            return Entry(
                repository: repository, tag: String(text[text.index(after: colon)...]),
                digest: digests[repository] ?? none)
        }
        if !tagged.isEmpty { return tagged }
        guard let first = digests.sorted(by: { $0.key < $1.key }).first else {
            return [Entry(repository: none, tag: none, digest: none)]
        }
        return [Entry(repository: first.key, tag: none, digest: first.value)]
    }

    private static func matches(_ entry: Entry, _ pattern: String?) -> Bool {
        guard let pattern, !pattern.contains("*"), let reference = ImageReference(pattern) else {
            return true
        }
        return ImageReference(entry.repository)?.repository == reference.repository
            && (reference.tag == nil || reference.tag == entry.tag)
    }
}
