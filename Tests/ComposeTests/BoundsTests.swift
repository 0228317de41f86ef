import SwarmModel
import Testing

@testable import Compose

/// No file, however made, takes more than a second, more than its memory's worth, or the process with it.
@Suite(.serialized) struct BoundsTests {
    /// A second; unoptimised code beside other tests is allowed fifteen.
    #if DEBUG
        static let limit = Duration.seconds(15)
    #else
        static let limit = Duration.seconds(1)
    #endif

    /// Runs what must end in a refusal within a second, and gives the words.
    private func refusal(
        _ text: String, files: [String: String] = [:], sourceLocation: SourceLocation = #_sourceLocation
    ) -> String {
        let all = FilesInMemory(files.merging(["/p/stack.yml": text]) { $1 })
        let options = StackOptions(workingDirectory: "/p", environment: Fixtures.environment)
        var words = ""
        let started = FuzzTests.threadTime
        do throws(StackFileErrors) { _ = try StackLoader.load(["stack.yml"], options, from: all) } catch {
            words = error.description
        }
        let taken = FuzzTests.threadTime - started
        #expect(taken < Self.limit, "took \(taken)", sourceLocation: sourceLocation)
        return words
    }

    @Test func `a billion laughs`() {
        var text = "x-a: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
        for level in 1..<20 {
            let before = Array(repeating: "*l\(level - 1)", count: 10).joined(separator: ", ")
            text += "x-\(level): &l\(level) [\(before)]\n"
        }
        #expect(refusal(text).hasSuffix("the file holds more than 200000 values once its aliases are put in"))
        // As keys, where a reader that hashes whole keys would never end.
        #expect(
            refusal(text.replacing("x-19: &l19 [", with: "x-19: {? *l18 : 1, z: [")).contains(
                "more than 200000 values"))
        var merges = "x-a: &m0 {a: 1, b: 2}\n"
        for level in 1..<40 { merges += "x-\(level): &m\(level) {l: *m\(level - 1), r: *m\(level - 1)}\n" }
        #expect(refusal(merges).contains("more than 200000 values"))
    }

    @Test func `deep nesting`() {
        let brackets = String(repeating: "[", count: 100_000)
        #expect(refusal("x-a: \(brackets)").hasSuffix("collections are nested more than 100 deep"))
        let braces = String(repeating: "{a: ", count: 100_000)
        #expect(refusal("x-a: \(braces)").hasSuffix("collections are nested more than 100 deep"))
        var indented = ""
        for level in 0..<1000 { indented += String(repeating: " ", count: level) + "a:\n" }
        #expect(refusal(indented).hasSuffix("collections are nested more than 100 deep"))
        let dashes = String(repeating: "- ", count: 100_000) + "a"
        #expect(refusal("x-a:\n  \(dashes)").hasSuffix("collections are nested more than 100 deep"))
    }

    @Test func `large files`() {
        let big = "x-a: " + String(repeating: "a", count: 10 << 20)
        #expect(refusal(big).hasSuffix("at most 4194304 bytes are read"))
        let list = "x-a: [" + String(repeating: "1,", count: 400_000) + "1]"
        #expect(refusal(list).hasSuffix("the file holds more than 200000 values once its aliases are put in"))
        #expect(
            refusal(
                "services: {a: {image: x, env_file: big.env}}",
                files: ["/p/big.env": String(repeating: "A=1\n", count: 2 << 20)]
            )
            .hasSuffix("at most 4194304 bytes are read"))
    }

    @Test func `one long line`() {
        // A column that is counted from the line's start each time would take hours here.
        let line = "x-a: [" + String(repeating: "'aaaaaaaaaaaaaaaa', ", count: 100_000) + "b]"
        #expect(refusal(line) == "")
        let colons = "x-a: " + String(repeating: "a:", count: 500_000) + "b"
        #expect(refusal(colons) == "")
        let quotes = "? " + String(repeating: "'a' ", count: 200_000)
        #expect(refusal(quotes).contains("did not find expected key"))
    }

    @Test func `many errors are counted beyond a hundred`() {
        let keys = (0..<1000).map { "k\($0): 1" }.joined(separator: ", ")
        do throws(StackFileErrors) {
            _ = try load("services: {a: {\(keys)}}")
            Issue.record("taken")
        } catch {
            #expect(error.diagnostics.count == 100)
            #expect(error.description.hasSuffix("\nand 900 more"))
        }
    }

    @Test func `long chains of extends and of includes`() {
        var services = "services:\n  s0: {image: x}\n"
        for number in 1..<200 { services += "  s\(number): {extends: s\(number - 1)}\n" }
        // In the file's order each is done when the next asks for it; backwards the chain is as long as the file.
        #expect(refusal(services) == "")
        var backwards = "services:\n"
        for number in 0..<199 { backwards += "  s\(number): {extends: s\(number + 1)}\n" }
        #expect(refusal(backwards + "  s199: {image: x}").contains("more than 32 services extend each other"))
        var files: [String: String] = [:]
        for number in 0..<300 { files["/p/i\(number).yml"] = "include: [i\(number + 1).yml]" }
        #expect(refusal("include: [i0.yml]", files: files).contains("more than 32 files include each other"))
        // A tree of includes: two to the thirtieth files, were they not counted.
        var tree: [String: String] = [:]
        for number in 0..<30 { tree["/p/i\(number).yml"] = "include: [i\(number + 1).yml, i\(number + 1).yml]" }
        tree["/p/i30.yml"] = "services: {}"
        #expect(refusal("include: [i0.yml]", files: tree).contains("more than 200 files are named"))
    }

    @Test func `a long chain of dependencies is no recursion`() {
        var text = "services:\n"
        for number in 0..<5000 { text += "  s\(number): {image: x, depends_on: [s\(number + 1)]}\n" }
        text += "  s5000: {image: x}\n"
        #expect(throws: Never.self) {
            let specs = try specs(text)
            #expect(specs.servicesInOrder.first?.key == "s5000")
        }
    }

    @Test func `many ports`() {
        let ranges = (0..<20).map { "\"1-65535:1-65535/\($0 % 2 == 0 ? "tcp" : "udp")\"" }
        #expect(
            refusal("services: {a: {image: x, ports: [\(ranges.joined(separator: ", "))]}}").contains("more than"))
    }

    /// Found by the fuzzer: each comparison of two ports made two texts.
    @Test func `as many ports as may be, and every port there is`() throws {
        #expect(
            refusal("services: {a: {image: x, ports: [\"1-65535:1-65535\"]}}").hasSuffix(
                "services.a.ports: more than 16384 ports"))
        let started = FuzzTests.threadTime
        let project = try load("services: {a: {image: x, ports: [\"1-16384:1-16384\"]}}")
        #expect(project.rendered.utf8.count > 16_384 * 40)
        let found = try project.specs(stack: "st", from: FilesInMemory())
        #expect(found.services[0].spec.endpointSpec?.ports?.count == 16_384)
        FuzzTests.deployTwice(found)
        let taken = FuzzTests.threadTime - started
        #expect(taken < Self.limit, "took \(taken)")
    }

    @Test func `a secret and a config as large as may be`() throws {
        let text = "services: {a: {image: x}}\nsecrets: {s: {file: s}}\nconfigs: {c: {file: c}}"
        let fits = [
            "/p/s": String(repeating: "s", count: 500 << 10), "/p/c": String(repeating: "c", count: 1000 << 10),
        ]
        #expect(try specs(text, files: fits).secrets[0].data?.count == ((500 << 10) + 2) / 3 * 4)
        for path in ["/p/s", "/p/c"] {
            var files = fits
            files[path]? += "x"
            #expect(throws: StackFileErrors.self) { try specs(text, files: files) }
        }
    }

    @Test func `five hundred services`() throws {
        var text =
            "x-base: &base {image: \"nginx:1\", deploy: {replicas: 2, update_config: {order: start-first}}}\nservices:\n"
        for number in 0..<500 {
            text += """
                  service-\(number):
                    <<: *base
                    environment: {A: "$V", B: "${N:-4}", C: c}
                    ports: ["\(10_000 + number):80"]
                    networks: [front, back]
                    volumes: ["data:/data", "./conf:/etc/conf:ro"]
                    healthcheck: {test: "curl -f localhost", interval: 5s}
                    labels: [a=b, c=d]

                """
        }
        text += "networks: {front: , back: }\nvolumes: {data: }\n"
        let started = FuzzTests.threadTime
        let count = try specs(text).services.count
        let taken = FuzzTests.threadTime - started
        print("500 services loaded and translated in \(taken), \(text.utf8.count) bytes")
        #expect(count == 500)
        #expect(taken < Self.limit)
    }
}
