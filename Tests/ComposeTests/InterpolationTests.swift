import Testing

@testable import Compose

@Suite struct InterpolationTests {
    private func substitute(_ text: String, _ dialect: Dialect = .specification) -> String {
        var interpolation = Interpolation(dialect, ["A": "a", "EMPTY": "", "_x1": "u"])
        do throws(Interpolation.Problem) { return try interpolation.substitute(text) } catch {
            return "error: \(error.message)"
        }
    }

    @Test(arguments: [
        ("$A", "a"), ("${A}", "a"), ("x${A}y$A-z", "xaya-z"), ("$$A", "$A"), ("$${A}", "${A}"), ("$_x1.", "u."),
        ("${U}", ""), ("${U-d}", "d"), ("${U:-d}", "d"), ("${EMPTY-d}", ""), ("${EMPTY:-d}", "d"),
        ("${A-d}", "a"), ("${A+x}", "x"), ("${A:+x}", "x"), ("${EMPTY+x}", "x"), ("${EMPTY:+x}", ""),
        ("${U+x}", ""),
        ("${A?m}", "a"), ("${EMPTY?m}", ""), ("${U:-${A}}", "a"), ("${U:-${V:-${A}b}c}", "abc"),
        ("${A:+${U:-n}}", "n"),
        ("${U:-{\"k\": 1}}", "{\"k\": 1}"), ("${U:-$$}", "$"), ("${U:-a:b-c?d+e}", "a:b-c?d+e"), ("a $ b", "a $ b"),
        ("$5", "$5"), ("100%$", "100%$"), ("é${A}ü", "éaü"),
        ("${U?}", "error: required variable U is missing a value"),
        ("${EMPTY:?need $A}", "error: required variable EMPTY is missing a value: need a"),
        ("${A", "error: \"${A\" has no closing brace"), ("${}", "error: \"${}\" names no variable"),
        ("${1A}", "error: \"${1A}\" names no variable"),
        ("${A/b/c}", "error: \"${A/b/c}\" is no form of a variable"),
        ("${A:b}", "error: \"${A:b}\" is no form of a variable"),
    ])
    func `forms of the specification`(text: String, result: String) {
        #expect(substitute(text) == result)
    }

    @Test func `a required variable is not asked for where its default is not used`() {
        #expect(substitute("${A:-${U:?no}}") == "a")
        #expect(substitute("${U:+${V:?no}}") == "")
    }

    @Test func `nesting and growth are bounded`() {
        let deep = String(repeating: "${U:-", count: 50) + "x" + String(repeating: "}", count: 50)
        #expect(substitute(deep) == "error: variables are nested more than 20 deep")
        var interpolation = Interpolation(.specification, ["BIG": String(repeating: "x", count: 1 << 19)])
        #expect(throws: Interpolation.Problem.self) { try interpolation.substitute("$BIG$BIG$BIG") }
        #expect(throws: Interpolation.Problem.self) {
            for _ in 0..<100 { _ = try interpolation.substitute("$BIG") }
        }
    }

    @Test func `a variable without a value is told once, a lone dollar each time`() throws {
        let project = try load("services: {a: {image: x, command: [\"$U\", \"$U\", \"$V\"], labels: {l: \"5$\"}}}")
        #expect(
            project.warnings.map(\.description) == [
                "stack.yml:1:36: services.a.command.0: the variable U is not set; it stands for an empty text",
                "stack.yml:1:67: services.a.labels.l: a lone $ is kept as it is; write $$ to be clear",
            ])
    }

    @Test func `a name without braces before a dash is warned of, for Docker reads a default there`() throws {
        let project = try load("services: {a: {image: \"x:$V-alpine\"}}")
        #expect(project.document["services"]?["a"]?["image"]?.string == "x:val-alpine")
        #expect(
            project.warnings.map(\.message) == [
                "docker stack deploy takes what follows $V for a default; write ${V} to be clear"
            ])
    }

    @Test func `the directory's .env fills in, and the process's environment goes before it`() throws {
        let env = """
            # a comment
            export ONE=1 # and another
            V=ignored
            TWO="two words ${ONE}\\n$V"
            THREE='raw ${ONE}'
            FOUR: yaml
            BARE
            EMPTY2=
            MULTI="a
            b"
            """
        let text = "x: [\"$ONE\", \"$TWO\", \"$THREE\", \"$FOUR\", \"${BARE-none}\", \"$EMPTY2\", \"$MULTI\"]"
        let project = try load("x-\(text)", files: ["/p/.env": env])
        #expect(
            project.document["x-x"]?.list?.compactMap(\.string) == [
                "1", "two words 1\nval", "raw ${ONE}", "yaml", "none", "", "a\nb",
            ])
        #expect(project.warnings == [])
        #expect(try load("x-\(text)", .docker, files: ["/p/.env": env]).document["x-x"]?.list?.first?.string == "")
    }

    @Test func `a .env that is none is refused at its line`() {
        #expect(
            errors("services: {}", files: ["/p/.env": "A=1\nB=\"x\n"]) == [
                "/p/.env:2:1: the quotes that begin here are never closed"
            ])
        #expect(
            errors("services: {}", files: ["/p/.env": "A B=1\n"]) == [
                "/p/.env:1:1: variable 'A' contains whitespaces"
            ])
    }

    @Test func `keys are not interpolated, and nothing is when asked so`() throws {
        let text = "x-a: {$V: $V}"
        #expect(try load(text).document["x-a"]?["$V"]?.string == "val")
        var options = StackOptions(dialect: .docker, workingDirectory: "/p", environment: ["V": "val"])
        options.interpolates = false
        let project = try StackLoader.load(["a"], options, from: FilesInMemory(["/p/a": text]))
        #expect(project.document["x-a"]?["$V"]?.string == "$V")
    }
}
