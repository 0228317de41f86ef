import Testing

@testable import Compose

@Suite struct YAMLReaderTests {
    private func read(_ text: String) throws -> Value {
        try #require(try YAMLReader.read(Array(text.utf8), file: "f").document)
    }

    private func problem(_ text: String) -> String {
        do throws(YAMLProblem) {
            let (_, duplicates) = try YAMLReader.read(Array(text.utf8), file: "f")
            return duplicates.map { "\($0.position): \($0.message)" }.joined(separator: "\n")
        } catch {
            return "\(error.position): \(error.message)"
        }
    }

    @Test func `every value and key knows its place`() throws {
        let value = try read("a: 1\nb:\n  - x\n  - {c: é, d: 2}\n")
        #expect(value.keyPosition("b").description == "f:2:1")
        let items = try #require(value["b"]?.list)
        #expect(items.map(\.position.description) == ["f:3:5", "f:4:5"])
        #expect(items[1].keyPosition("d").description == "f:4:12")
        #expect(items[1]["d"]?.position.description == "f:4:15")
    }

    @Test func `what an alias brings keeps the place where it was written`() throws {
        let value = try read("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}")
        #expect(value["b"]?["x"]?.position.description == "f:1:11")
        #expect(value["c"]?.entries?.map(\.key) == ["y", "x"])
    }

    @Test(arguments: [
        ("a: b: c", "f:1:5: mapping values are not allowed in this context"),
        ("a: 1\n b: 2", "f:2:3: mapping values are not allowed in this context"),
        ("a:\n  - b\n c: 1", "f:3:2: did not find expected key"),
        ("a: [1", "f:1:6: did not find expected ',' or ']' to end what began at line 1"),
        ("a: {b: 1}}", "f:1:10: did not find expected key"),
        ("\ta: 1", "f:1:1: found character that cannot start any token: a tab cannot indent"),
        ("a: *b", "f:1:4: unknown anchor 'b' referenced"),
        ("a: 'x", "f:1:6: found unexpected end of stream in the quotes that began at line 1"),
        ("a: \"\\z\"", "f:1:6: found unknown escape character"),
        ("1: a", "f:1:1: the key 1 is an integer: put it in quotes"),
        (
            "a: 1\nb: 2\na: 3\nb: 4",
            "f:3:1: mapping key \"a\" already defined at line 1\nf:4:1: mapping key \"b\" already defined at line 2"
        ),
        ("a: \"\u{1}\"", "f:1:1: control characters are not allowed"),
        ("- a\nb: 1", "f:2:1: did not find expected <document start>"),
        ("a: - b", "f:1:4: block sequence entries are not allowed in this context"),
        ("a: !!int x", "f:1:4: cannot decode a string `x` as a !!int"),
    ])
    func `what is wrong is said with its place`(text: String, complaint: String) {
        #expect(problem(text) == complaint)
    }

    @Test func `bytes that are no text are refused`() {
        #expect(throws: YAMLProblem.self) { try YAMLReader.read([0x61, 0x3a, 0xff], file: "f") }
    }

    @Test func `a byte order mark, carriage returns and document marks are passed over`() throws {
        let value = try read("\u{feff}%YAML 1.2\r\n---\r\na: 1\r\nb: |\r\n  x\r\n  y\r\n...\r\nc: 2\r\n")
        #expect(value.entries?.map(\.key) == ["a", "b"])
        #expect(value["b"]?.string == "x\r\ny\r\n" || value["b"]?.string == "x\ny\n")
    }

    @Test func `text that was written is read back`() throws {
        let texts = [
            "", " ", "a", "a b", "- a", "a: b", "#", "'", "\"", "a\nb", "\na", "a\n", "a\n\n", " a\nb", "true",
            "12", "1e3",
            "~", "é😀", "\t", "a\tb\n", "a \nb", "\u{7}", "\u{85}", "\u{2028}", "|", "---", "a #b", "y", "0:0", "[",
            "2001-01-01",
        ]
        for text in texts {
            for value in [
                Value(.string(text), at: Position(file: "")),
                Value(.list([Value(.string(text), at: Position(file: ""))]), at: Position(file: "")),
            ] {
                let written = YAMLWriter.write(
                    Value(
                        .map([Value.Entry(key: "k", keyPosition: Position(file: ""), value: value)]),
                        at: Position(file: "")))
                let back = try read(written)
                #expect((back["k"]?.string ?? back["k"]?.list?.first?.string) == text, "\(written)")
            }
        }
    }

    @Test func `numbers print as Go prints them`() {
        let cases: [(Double, String)] = [
            (1, "1"), (1.5, "1.5"), (0, "0"), (-0.0, "-0"), (1e20, "1e+20"), (123456.0, "123456"),
            (1_000_000, "1e+06"),
            (0.0001, "0.0001"), (0.00001, "1e-05"), (123456789.123456789, "1.2345678912345679e+08"), (100, "100"),
            (0.30000000000000004, "0.30000000000000004"), (1.5e300, "1.5e+300"),
            (Double.leastNonzeroMagnitude, "5e-324"),
        ]
        for (number, text) in cases { #expect(GoNumber.format(number) == text) }
    }
}
