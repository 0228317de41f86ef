import SwarmCore
import SwarmModel
import Testing

@testable import DockerAPI

@Suite struct OrderedJSONTests {
    private func text(_ value: some Encodable) throws -> String {
        String(decoding: try OrderedJSON.encode(value), as: UTF8.self)
    }

    private struct Inner: Encodable {
        var b = 1
        var a: [Int]? = []
        var none: String?
    }
    private struct Outer: Encodable {
        var z = Inner()
        var list = [Inner(), Inner(a: nil)]
        var map = ["y": ["b": 1, "a": 2], "x": [:]]
        var flag = true
        var ratio = 0.5
        var last = "e"
    }
    private struct Nothing: Encodable {
        func encode(to encoder: any Encoder) {}
    }
    /// Two containers of one value, as a type has that adds to another's members.
    private struct Twice: Encodable {
        enum Key: String, CodingKey { case a, b }
        func encode(to encoder: any Encoder) throws {
            var first = encoder.container(keyedBy: Key.self)
            try first.encode(["n": 1], forKey: .a)
            var second = encoder.container(keyedBy: Key.self)
            try second.encode(UInt8.max, forKey: .b)
        }
    }

    @Test func `members keep their order, maps are sorted, every container ends`() throws {
        let expected =
            #"{"z":{"b":1,"a":[]},"list":[{"b":1,"a":[]},{"b":1}],"map":{"x":{},"y":{"a":2,"b":1}},"#
            + #""flag":true,"ratio":0.5,"last":"e"}"#
        #expect(try text(Outer()) == expected)
    }

    @Test func `strings are escaped as far as JSON demands`() throws {
        #expect(try text("a\"\\\n\r\t\u{1}é/<") == #""a\"\\\n\r\t\u0001é/<""#)
        #expect(try text(["\"": "\u{1f}"]) == #"{"\"":"\u001f"}"#)
    }

    @Test func `what writes nothing is null`() throws {
        #expect(try text([Nothing(), Nothing()]) == "[null,null]")
        #expect(try text(["a": Int?.none, "b": 10]) == #"{"a":null,"b":10}"#)
        #expect(throws: EncodingError.self) { try text(Double.nan) }
    }

    @Test func `a value may open its container twice`() throws {
        #expect(try text([Twice(), Twice()]) == #"[{"a":{"n":1},"b":255},{"a":{"n":1},"b":255}]"#)
    }

    @Test func `templates that repeat are written like any other`() throws {
        var (plain, other) = (SwarmTask(id: "a"), SwarmTask(id: "b"))
        plain.spec.containerSpec = ContainerSpec(image: "busybox")
        other.spec.containerSpec = ContainerSpec(image: "nginx")
        let tasks = [plain, plain, other, plain, other, other]
        #expect(try text(tasks) == "[" + tasks.map { try text($0) }.joined(separator: ",") + "]")
    }
}
