import Testing

@testable import GoTemplate

/// No template, however made, may crash the program or run without end.
@Suite struct BoundsTests {
    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
            return mixed ^ mixed >> 31
        }
    }

    @Test func `nesting is bounded`() {
        let parentheses =
            "{{" + String(repeating: "(", count: 5000) + "1" + String(repeating: ")", count: 5000) + "}}"
        #expect(failure(parentheses).hasSuffix("nested too deeply: at most 100 levels"))
        let blocks = String(repeating: "{{if 1}}", count: 5000) + String(repeating: "{{end}}", count: 5000)
        #expect(failure(blocks).hasSuffix("nested too deeply: at most 100 levels"))
        let chain = "{{if 0}}" + String(repeating: "{{else if 0}}", count: 5000) + "{{end}}"
        #expect(failure(chain).hasSuffix("nested too deeply: at most 100 levels"))
    }

    @Test func `deep values print and encode within bounds`() {
        var value: TemplateValue = 1
        for _ in 0..<1000 { value = [value] }
        #expect(failure("{{.}}", value).contains("..."))
        #expect(failure("{{json .}}", value).hasSuffix("json: nested deeper than 128 levels"))
    }

    @Test func `output and steps are bounded`() {
        let doubling = "{{$x := \"0123456789\"}}" + String(repeating: "{{$x = print $x $x}}", count: 64)
        #expect(failure(doubling).hasSuffix("output is longer than 16777216 bytes"))
        let loops = String(repeating: "{{range 1000}}", count: 20) + String(repeating: "{{end}}", count: 20)
        #expect(failure(loops).hasSuffix("more than 5000000 steps"))
        #expect(failure("{{range 9000000000000000000}}{{end}}").hasSuffix("more than 5000000 steps"))
        #expect(failure("{{printf \"%999999999d\" 1}}").hasSuffix("a width or precision is at most 10000"))
        #expect(failure("{{pad \"x\" 999999999 0}}").contains("a width is 0 to 10000"))
    }

    @Test func `random templates end in text or in an error`() {
        let words = [
            "{{", "}}", "{{-", "-}}", " ", "\n", ".", ".Name", ".Ports", ".Spec", ".Replicas", "$", "$x",
            "$i", ":=", "=", ",", "|",
            "(", ")", "if ", "else", "end", "range ", "with ", "break", "continue", "and ", "or ", "not ",
            "eq ", "lt ", "len ",
            "index ", "slice ", "print ", "printf ", "println ", "json ", "split ", "join ", "title ",
            "upper ", "pad ",
            "truncate ", "\"a\"", "\"%5.3f\"", "\"%*d\"", "`raw`", "'c'", "0", "-1", "9223372036854775807",
            "-9223372036854775808",
            "99999999999999999999", "1e400", "1.5", "0x", "true", "nil", "/*", "*/", "\u{0}", "é", "\"\\x",
            "\"\\u12\"", "text", "%", "#",
        ]
        var generator = Generator(state: 20_26)
        var rendered = 0
        for round in 0..<30_000 {
            var text = round % 2 == 0 ? "{{" : ""
            for _ in 0..<(1 + generator.next() % 14) {
                text += words[Int(generator.next() % UInt64(words.count))]
            }
            if round % 3 != 0 { text += "}}" }
            guard let template = try? Template(parsing: text) else { continue }
            _ = template.fields()
            _ = try? template.header()
            if (try? template.render(service)) != nil { rendered += 1 }
        }
        #expect(rendered > 100)
    }

    @Test func `random bytes and formats end in text or in an error`() {
        var generator = Generator(state: 7)
        let alphabet = Array("%0123456789.*+-# dsvqxXeEgGfFtTcbUoO{}\"'`\\.$|()".utf8)
        for _ in 0..<20_000 {
            let bytes = (0..<(generator.next() % 24)).map { _ in
                generator.next() % 5 == 0
                    ? UInt8(truncatingIfNeeded: generator.next())
                    : alphabet[Int(generator.next() % UInt64(alphabet.count))]
            }
            let text = String(decoding: bytes, as: UTF8.self)
            _ = try? Template(parsing: text).render(service)
            let values: [TemplateValue] = [
                "a\u{0}é", 7, -1.5e300, true, nil, [1, "b"], ["k": 2], .int(.min), .double(.nan),
            ]
            _ = try? Format.print(
                text, [values[Int(generator.next() % 9)], values[Int(generator.next() % 9)]])
        }
    }
}
