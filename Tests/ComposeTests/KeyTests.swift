import SwarmCore
import Testing

@testable import Compose

/// A file for every key there is: taken, warned of where it means nothing in a swarm, and refused.
@Suite struct KeyTests {
    static let files = [
        "/p/a.env": "A=1\n", "/p/f": "content", "/p/b.yml": "services: {b: {image: y}}\n",
    ]

    /// A whole file with nothing but the key, and what it cannot be without.
    static func file(_ path: String, _ value: String) -> String {
        var keys = path.split(separator: ".").map(String.init)
        var prefix = ""
        var tops: [String] = []
        func nest() -> String {
            let key = keys.removeFirst()
            let beside = KeyTable.siblings.filter {
                $0.path == prefix && !$0.text.hasPrefix(key + ":")
                    && KeyTable.replaced[prefix]?.contains(key) != true
            }.map(\.text)
            prefix += (prefix.isEmpty ? "" : ".") + key
            let inner = keys.isEmpty ? value : nest()
            if key == "0" { return "[\(inner)]" }
            return "{" + (beside + ["\(key): \(inner)"]).joined(separator: ", ") + "}"
        }
        // What is referred to is there: further services, networks and so on, unless the path is about them.
        let text = nest()
        let top = String(path.prefix { $0 != "." })
        for (name, there) in [
            ("networks", "networks: {n: }"), ("volumes", "volumes: {v: }"),
            ("secrets", "secrets: {s: {content: hush}}"), ("configs", "configs: {c: {content: text}}"),
        ] where name != top { tops.append(there) }
        if path.hasPrefix("services.") {
            // The service beside: what a extends, or depends on.
            return "services: {b: {image: y}, " + text.dropFirst("{services: {".count).dropLast(2) + "}\n"
                + tops.joined(separator: "\n") + "\n"
        }
        if top != "services" { tops.append("services: {a: {image: x}}") }
        return text.dropFirst().dropLast() + "\n" + tops.joined(separator: "\n") + "\n"
    }

    /// Objects within lists stand in their own brackets: `ports: [{target: 80, mode: host}]`.
    @Test func `files are made as they are meant`() {
        #expect(
            Self.file("services.a.ports.0.mode", "host").hasPrefix(
                "services: {b: {image: y}, a: {image: x, ports: [{target: 80, mode: host}]}}\n"))
        #expect(Self.file("secrets.s.file", "f").hasPrefix("secrets: {s: {file: f}}\n"))
    }

    @Test(arguments: KeyTable.rows.map(\.path)) func `a key is taken, warned of and refused as it should be`(
        path: String
    ) throws {
        let row = try #require(KeyTable.rows.first { $0.path == path })
        let taken = Self.file(path, row.taken)
        do throws(StackFileErrors) {
            let warnings = try load(taken, files: Self.files).warnings.map(\.path)
            let concerned = warnings.filter { path == $0 || path.hasPrefix($0 + ".") }
            #expect(concerned.isEmpty != row.isWarned, "\(path): \(warnings) for \(taken)")
        } catch { Issue.record("\(path): \(error) for \(taken)") }
        guard row.refused != "strict" else {
            let complaints = errors(taken, .docker, files: Self.files)
            let key = path.split(separator: ".").last ?? ""
            #expect(
                complaints.contains { $0.contains("Additional property \(key) is not allowed") },
                "\(path): \(complaints)")
            return
        }
        let refused = Self.file(path, row.refused)
        do throws(StackFileErrors) {
            _ = try load(refused, files: Self.files)
            Issue.record("\(path) is taken: \(refused)")
        } catch {
            // At the key or within its value, with a line and a column.
            let place = error.diagnostics.filter { $0.path == path || $0.path.hasPrefix(path + ".") }
            #expect(!place.isEmpty, "\(path): \(error) for \(refused)")
            #expect(place.allSatisfy { $0.description.hasPrefix("stack.yml:1:") }, "\(path): \(error)")
        }
    }

    // MARK: Nothing is left out

    /// Every key that the schema knows, in the table's notation.
    static func paths(_ shape: Shape, _ prefix: String) -> [String] {
        func object(_ object: ObjectShape, _ prefix: String) -> [String] {
            object.rows.flatMap { row in
                let path = prefix.isEmpty ? row.key : "\(prefix).\(row.key)"
                return [path] + paths(row.shape, path)
            }
        }
        switch shape {
        case .object(let shape): return object(shape, prefix)
        case .orNull(let inner): return paths(inner, prefix)
        case .list(let inner, _): return paths(inner, prefix + ".0")
        case .map(let inner, _):
            let letter = prefix.prefix(1)
            return paths(inner, prefix + "." + (prefix == "services" ? "a" : letter))
        case .ports: return object(FormShapes.port, prefix + ".0")
        case .mounts: return object(FormShapes.mount, prefix + ".0")
        case .fileReferences: return object(FormShapes.fileReference, prefix + ".0")
        case .attachments: return object(FormShapes.attachment, prefix + ".n")
        case .dependencies: return object(FormShapes.dependency, prefix + ".b")
        case .envFiles: return object(FormShapes.envFile, prefix + ".0")
        case .ulimits: return object(FormShapes.ulimit, prefix + ".nofile")
        case .external: return object(FormShapes.external, prefix)
        case .build: return object(FormShapes.build, prefix)
        case .extends: return object(FormShapes.extends, prefix)
        case .includes: return object(FormShapes.include, prefix + ".0")
        case .anything, .string, .boolean, .literalBoolean, .integer, .number, .truncated, .duration, .size, .cpus,
            .fileMode, .choice, .text, .strings, .words, .test, .keyValues, .options, .hosts, .expose:
            return []
        }
    }

    @Test func `every key that the loader knows is in the table, and no other`() {
        let known = Set(Self.paths(.object(TopShape.object), ""))
        let listed = KeyTable.rows.map(\.path)
        #expect(known.count > 200)
        #expect(known.subtracting(listed).sorted() == [])
        #expect(Set(listed).subtracting(known).sorted() == [])
        #expect(Set(listed).count == listed.count)
    }

    /// A key that means nothing is warned of; one that means something is not.
    @Test func `what the table warns of is what the loader calls meaningless`() {
        func meaningless(_ object: ObjectShape, _ key: String) -> Bool { object[key]?.meaningless != nil }
        for row in KeyTable.rows where row.path.split(separator: ".").count == 3 && row.path.hasPrefix("services.") {
            let key = String(row.path.split(separator: ".")[2])
            #expect(meaningless(ServiceShape.object, key) == row.isWarned, "\(row.path)")
        }
    }
}
