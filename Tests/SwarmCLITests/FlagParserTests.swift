import SwarmCLI
import SwarmClient
import SwarmCore
import Testing

@Suite struct FlagParserTests {
    static let flags: [Flag] = [
        Flag("detach", short: "d", .bool, "Exit immediately"),
        Flag("quiet", short: "q", .bool, "Suppress output"),
        Flag("name", .string, "Service name"), Flag("replicas", .uint, "Number of tasks"),
        Flag(
            "publish", short: "p",
            .list("port") { text throws(SwarmError) in _ = try PublishOption.parse(text) },
            "Publish a port"),
        Flag("filter", short: "f", .filter, "Filter output"),
    ]

    static func parse(_ words: String..., interspersed: Bool = true) throws -> ParsedFlags {
        try FlagParser(flags, interspersed: interspersed).parse(words)
    }

    static func complaint(_ words: String...) -> String? {
        do {
            _ = try FlagParser(flags).parse(words)
            return nil
        } catch {
            return error.message
        }
    }

    @Test func `a value follows its flag or an equals sign`() throws {
        #expect(try Self.parse("--name", "web").text("name") == "web")
        #expect(try Self.parse("--name=web").text("name") == "web")
        #expect(try Self.parse("--name=").text("name") == "")
        #expect(try Self.parse("--name=a=b").text("name") == "a=b")
    }

    @Test func `a switch never takes the next word`() throws {
        let parsed = try Self.parse("--detach", "false")
        #expect(parsed.isOn("detach"))
        #expect(parsed.arguments == ["false"])
        #expect(try !Self.parse("--detach=false").isOn("detach"))
        #expect(try !Self.parse("-d=false").isOn("detach"))
    }

    @Test func `short flags stand together and carry joined values`() throws {
        let parsed = try Self.parse("-dq", "-p8080:80", "-p=81", "-dp", "82")
        #expect(parsed.isOn("detach") && parsed.isOn("quiet"))
        #expect(parsed.list("publish") == ["8080:80", "81", "82"])
    }

    @Test func `the last of equal flags counts unless they are repeatable`() throws {
        let parsed = try Self.parse("--name", "a", "--name", "b", "-p", "1", "-p", "2")
        #expect(parsed.text("name") == "b")
        #expect(parsed.list("publish") == ["1", "2"])
    }

    @Test func `two dashes end the flags`() throws {
        let parsed = try Self.parse("a", "--", "-d", "--name")
        #expect(parsed.arguments == ["a", "-d", "--name"])
        #expect(!parsed.isOn("detach"))
    }

    @Test func `flags after the image belong to the container`() throws {
        let parsed = try Self.parse("-d", "busybox", "ls", "-q", "--name", "x", interspersed: false)
        #expect(parsed.arguments == ["busybox", "ls", "-q", "--name", "x"])
        #expect(parsed.isOn("detach") && !parsed.isOn("quiet"))
    }

    @Test func `a lone dash is an argument`() throws {
        #expect(try Self.parse("-", "-d").arguments == ["-"])
    }

    @Test func `refusals are worded as docker words them`() {
        #expect(Self.complaint("--foo") == "unknown flag: --foo")
        #expect(Self.complaint("--foo=1") == "unknown flag: --foo")
        #expect(Self.complaint("-x") == "unknown shorthand flag: 'x' in -x")
        #expect(Self.complaint("-dz") == "unknown shorthand flag: 'z' in -z")
        #expect(Self.complaint("--name") == "flag needs an argument: --name")
        #expect(Self.complaint("-p") == "flag needs an argument: 'p' in -p")
        #expect(Self.complaint("--=x") == "bad flag syntax: --=x")
        #expect(
            Self.complaint("--replicas", "x")
                == "invalid argument \"x\" for \"--replicas\" flag: strconv.ParseUint: parsing \"x\": invalid syntax"
        )
        #expect(
            Self.complaint("--detach=x")
                == "invalid argument \"x\" for \"-d, --detach\" flag: strconv.ParseBool: parsing \"x\": invalid syntax"
        )
        #expect(
            Self.complaint("-p", "x")
                == "invalid argument \"x\" for \"-p, --publish\" flag: invalid containerPort: x")
        #expect(
            Self.complaint("-f", "x")
                == "invalid argument \"x\" for \"-f, --filter\" flag: bad format of filter (expected name=value)"
        )
    }

    @Test func `help is asked for by either spelling`() throws {
        #expect(try Self.parse("--help").wantsHelp)
        #expect(try Self.parse("a", "-h").wantsHelp)
    }
}

/// Whole command lines, without an engine.
@Suite struct CommandLineTests {
    static func run(_ words: String...) async -> Int32 {
        await SwarmCommand.run(
            words, console: Console(output: Discarded.descriptor, errors: Discarded.descriptor),
            environment: [:])
    }

    @Test func `misuse of flags ends with 125, of arguments and verbs with 1, as docker 28 does it`() async {
        #expect(await Self.run("service", "create", "--foo") == 125)
        #expect(await Self.run("service", "create") == 1)
        #expect(await Self.run("node", "ls", "extra") == 1)
        #expect(await Self.run("frobnicate") == 1)
        #expect(await Self.run("service", "frobnicate") == 1)
    }

    @Test func `an engine that is not there ends with 1`() async {
        #expect(await Self.run("-H", "unix:///nonexistent/swarmd.sock", "node", "ls") == 1)
        #expect(await Self.run("-H", "nonsense", "node", "ls") == 1)
    }

    @Test func `help ends with 0`() async {
        #expect(await Self.run("service", "create", "--help") == 0)
        #expect(await Self.run() == 0)
        #expect(await Self.run("service") == 0)
        #expect(await Self.run("swarm", "update") == 0)
    }

    @Test func `bad values are refused before an engine is asked`() async {
        let host = "unix:///nonexistent/swarmd.sock"
        #expect(await Self.run("-H", host, "service", "create", "--replicas", "x", "busybox") == 125)
        #expect(
            await Self.run("-H", host, "service", "create", "--mode", "global", "--replicas", "2", "busybox")
                == 1)
    }

    @Test func `help and refusals read as docker's`() {
        let command = Command(
            "ls", "List things", flags: [Flag("quiet", short: "q", .bool, "Only display IDs")]
        ) { _ in }.aliased("list")
        let help = CommandHelp(command: command, path: "swarmctl thing ls", columns: 80)
        #expect(
            help.text == """
                Usage:  swarmctl thing ls [OPTIONS]

                List things

                Aliases:
                  swarmctl thing ls, swarmctl thing list

                Options:
                  -q, --quiet   Only display IDs

                """)
        #expect(
            help.refusal(UsageError("unknown flag: --foo")) == """
                unknown flag: --foo

                Usage:  swarmctl thing ls [OPTIONS]

                Run 'swarmctl thing ls --help' for more information
                """)
        #expect(
            help.refusal(complaint: "accepts no arguments") == """
                swarmctl: 'swarmctl thing ls' accepts no arguments

                Usage:  swarmctl thing ls [OPTIONS]

                Run 'swarmctl thing ls --help' for more information
                """)
        #expect(ArgumentCount.exactly(1).complaint(0) == "requires 1 argument")
        #expect(ArgumentCount.atLeast(1).complaint(0) == "requires at least 1 argument")
        #expect(ArgumentCount.between(1...2).complaint(3) == "requires at least 1 and at most 2 arguments")
    }
}
