import Foundation
import SwarmModel
import Testing

@testable import Compose

/// Our objects against those that `docker stack deploy -c FILE st` (28.2.2, `--resolve-image never`) sent to a
/// recording API, one `[kind, object]` a line beside each file.
@Suite struct TranslationTests {
    static let folder = Fixtures.folder + "/Deployed"
    static let names = [
        "containers", "everything", "files", "modes", "mounts", "networks", "ports", "restarts",
    ]

    @Test(arguments: names) func `objects are those that docker stack deploy creates`(name: String) throws {
        let project = try StackLoader.load(
            [name + ".yml"], Fixtures.options(.docker, in: Self.folder), from: FilesOnDisk())
        let specs = try project.specs(stack: "st", from: FilesOnDisk())
        var ours: [String] = []
        for network in specs.networks { ours.append("networks \(try Self.canonical(network))") }
        for secret in specs.secrets { ours.append("secrets \(try Self.canonical(secret))") }
        for config in specs.configs { ours.append("configs \(try Self.canonical(config))") }
        for service in specs.services { ours.append("services \(try Self.canonical(service.spec))") }
        let lines = try String(contentsOfFile: "\(Self.folder)/\(name).json", encoding: .utf8).split(
            separator: "\n")
        let theirs = try lines.map { line -> String in
            let pair = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [Any])
            let kind = try #require(pair[0] as? String)
            let object = try #require(pair[1] as? [String: Any])
            return "\(kind) \(try Self.text(kind == "networks" ? Self.networkSpec(object) : object))"
        }
        for (one, other) in zip(ours.sorted(), theirs.sorted()) { #expect(one == other) }
        #expect(ours.count == theirs.count)
    }

    private static func canonical(_ spec: some Encodable) throws -> String {
        try text(JSONSerialization.jsonObject(with: JSONEncoder().encode(spec)))
    }

    /// Keys in order, without what says nothing, and without identifiers, which a deployment puts in.
    private static func text(_ object: Any) throws -> String {
        let data = try JSONSerialization.data(withJSONObject: cleaned(object) ?? [:], options: [.sortedKeys])
        return String(decoding: data, as: UTF8.self)
            .replacingOccurrences(of: "\"id-", with: "\"")
            // Recorded in another place than this checkout's.
            .replacingOccurrences(of: "\\/", with: "/").replacingOccurrences(of: folder, with: "FOLDER")
    }

    private static func cleaned(_ object: Any) -> Any? {
        switch object {
        case let map as [String: Any]:
            return map.filter { $0.key != "SecretID" && $0.key != "ConfigID" && $0.key != "ClusterOptions" }
                .compactMapValues(cleaned)
        case let list as [Any]: return list.isEmpty ? nil : list.compactMap(cleaned)
        case is NSNull: return nil
        case let text as String: return text.isEmpty ? nil : text
        case let number as NSNumber: return CFBoolean.matches(number) && !number.boolValue ? nil : number
        default: return object
        }
    }

    /// The engine's create request as the object that it becomes.
    private static func networkSpec(_ body: [String: Any]) -> [String: Any] {
        var spec: [String: Any] = ["Name": body["Name"] ?? "", "Labels": body["Labels"] ?? [:]]
        spec["Internal"] = body["Internal"]
        spec["Attachable"] = body["Attachable"]
        spec["DriverConfiguration"] = ["Name": body["Driver"] ?? "", "Options": body["Options"] ?? NSNull()]
        if let ipam = body["IPAM"] as? [String: Any] {
            let driver = ipam["Driver"] as? String ?? ""
            spec["IPAMOptions"] = [
                "Configs": ipam["Config"] ?? NSNull(),
                "Driver": driver.isEmpty ? NSNull() : ["Name": driver] as Any,
            ]
        }
        return spec
    }
}

/// Tells JSON's booleans from its numbers.
private enum CFBoolean {
    static func matches(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }
}
