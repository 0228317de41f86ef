import FoundationEssentials
import Ports
import RegistryClient
import SwarmCore
import SwarmModel

/// An image configuration file (OCI image specification, config.md).
struct ImageFile: Codable, Sendable {
    var created: String?
    var architecture: String
    var os: String
    var variant: String?
    var author: String?
    var config: ImageConfiguration?
    var rootfs: RootFileSystem
    var history: [Step]?

    /// How one layer, or one change without a layer, came to be.
    struct Step: Codable, Sendable {
        var created: String?
        var createdBy: String?
        var author: String?
        var comment: String?
        var emptyLayer: Bool?

        enum CodingKeys: String, CodingKey {
            case created, author, comment, createdBy = "created_by", emptyLayer = "empty_layer"
        }
    }

    struct RootFileSystem: Codable, Sendable {
        var type: String
        var diffIDs: [String]

        enum CodingKeys: String, CodingKey { case type, diffIDs = "diff_ids" }
    }
}

extension ImageService {
    static func decode<Value: Decodable>(_ bytes: [UInt8], _ what: String) throws(SwarmError) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(bytes))
        } catch {
            let cause = (error as? DecodingError)?.words(of: "it") ?? "\(error)"
            throw SwarmError(.invalidArgument, "the image's \(what) is not valid", cause: cause)
        }
    }

    static func encode(_ value: some Encodable) throws(SwarmError) -> [UInt8] {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return Array(try encoder.encode(value))
        } catch {
            throw SwarmError(.internal, "cannot encode an image file", cause: "\(error)")
        }
    }

    /// The names of the snapshots of a stack of layers (OCI image specification, "Layer ChainID").
    static func chainIDs(_ diffIDs: [String]) -> [String] {
        var chain: [String] = []
        for diffID in diffIDs {
            guard let last = chain.last else {
                chain.append(diffID)
                continue
            }
            chain.append(ContentWriter.digest(of: Array("\(last) \(diffID)".utf8)))
        }
        return chain
    }

    /// The name under which containerd keeps the image: `docker.io/library/busybox:latest`.
    static func canonicalName(_ reference: String) throws(SwarmError) -> String {
        let parsed = try parse(reference)
        guard let digest = parsed.digest else {
            return "\(parsed.repository):\(parsed.tag ?? ImageReference.defaultTag)"
        }
        return "\(parsed.repository)@\(digest)"
    }

    /// The name as people write it, with its tag: `busybox:latest`.
    static func familiarName(_ reference: String) throws(SwarmError) -> String {
        let parsed = try parse(reference)
        return "\(parsed.familiarName):\(parsed.tag ?? ImageReference.defaultTag)"
    }

    private static func parse(_ reference: String) throws(SwarmError) -> ImageReference {
        guard let parsed = ImageReference(reference) else {
            throw SwarmError(.invalidArgument, "invalid reference format: \(reference)")
        }
        return parsed
    }

    /// The steps of `docker history`, with what each put on the disk.
    static func history(_ file: ImageFile, _ sizes: [Int64]) -> [ResolvedImage.HistoryStep] {
        var rest = sizes[...]
        let steps = file.history ?? sizes.map { _ in ImageFile.Step() }
        return steps.map { step in
            let size = step.emptyLayer == true ? 0 : rest.popFirst() ?? 0
            return ResolvedImage.HistoryStep(
                created: step.created.flatMap { Timestamp($0) } ?? .zero, createdBy: step.createdBy ?? "",
                comment: step.comment ?? "", sizeBytes: size)
        }
    }
}

/// The Dockerfile lines that `docker import --change` takes.
enum DockerfileChanges {
    static func apply(_ changes: [String]) throws(SwarmError) -> ImageConfiguration {
        var configuration = ImageConfiguration()
        for change in changes {
            let parts = change.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
            guard parts.count == 2 else {
                throw SwarmError(.invalidArgument, "\(change): a change is an instruction and its argument")
            }
            let value = parts[1].trimmed
            switch parts[0].uppercased() {
            case "CMD": configuration.cmd = try command(value)
            case "ENTRYPOINT": configuration.entrypoint = try command(value)
            case "ENV": configuration.env = (configuration.env ?? []) + [try pair(value, change)]
            case "WORKDIR": configuration.workingDir = value
            case "USER": configuration.user = value
            case "STOPSIGNAL": configuration.stopSignal = value
            case "LABEL":
                let text = try pair(value, change)
                let halves = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                configuration.labels = configuration.labels ?? [:]
                configuration.labels?[String(halves[0])] = String(halves[1])
            case "EXPOSE":
                var ports = configuration.exposedPorts ?? [:]
                ports[value.contains("/") ? value : value + "/tcp"] = EmptyObject()
                configuration.exposedPorts = ports
            default:
                throw SwarmError(.invalidArgument, "\(parts[0]) is not a valid change command")
            }
        }
        return configuration
    }

    /// `["sh", "-c"]` as JSON, or a shell line.
    private static func command(_ text: String) throws(SwarmError) -> [String] {
        guard text.hasPrefix("[") else { return ["/bin/sh", "-c", text] }
        return try ImageService.decode(Array(text.utf8), "change")
    }

    /// `K=V` or `K V`.
    private static func pair(_ text: String, _ change: String) throws(SwarmError) -> String {
        if text.contains("=") { return text }
        let halves = text.split(separator: " ", maxSplits: 1)
        guard halves.count == 2 else { throw SwarmError(.invalidArgument, "\(change): expected name=value") }
        return "\(halves[0])=\(halves[1])"
    }
}

extension Substring {
    /// Without spaces at either end.
    var trimmed: String {
        var text = self
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
