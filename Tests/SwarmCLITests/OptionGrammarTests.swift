import SwarmCLI
import SwarmClient
import SwarmCore
import SwarmModel
import Testing

/// The message of the error that a parse throws; nil when it throws none.
func complaint(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch {
        return (error as? SwarmError)?.message ?? "\(error)"
    }
}

@Suite struct PublishOptionTests {
    @Test(arguments: [
        ("80", [":80/tcp"]), ("8080:80", ["8080:80/tcp"]), ("53:53/udp", ["53:53/udp"]),
        ("8000-8002:80-82", ["8000:80/tcp", "8001:81/tcp", "8002:82/tcp"]),
        ("80-81", [":80/tcp", ":81/tcp"]), ("8000-8001:80", ["8000:80/tcp", "8001:80/tcp"]),
        ("target=80", [":80/tcp"]), ("target=80,published=8080,protocol=udp", ["8080:80/udp"]),
    ])
    func `ports are read in both forms`(_ text: String, _ expected: [String]) throws {
        let ports = try PublishOption.parse(text).map {
            ($0.publishedPort.map(String.init) ?? "") + ":\($0.targetPort ?? 0)/\($0.proto ?? "")"
        }
        #expect(ports == expected)
    }

    @Test func `the mode is ingress unless the long form says host`() throws {
        #expect(try PublishOption.parse("80").first?.publishMode == "ingress")
        #expect(try PublishOption.parse("target=80,mode=host").first?.publishMode == "host")
    }

    @Test(arguments: [
        ("x", "invalid containerPort: x"),
        ("80:90-91", "invalid ranges specified for container and host Ports: 90-91 and 80"),
        ("target=80,mode=foo", "invalid publish mode value (foo): must be either 'ingress' or 'host'"),
        ("1.2.3.4:80:80", "hostip is not supported"), ("80/foo", "invalid proto: foo"),
        ("", "no port specified: <empty>"),
        ("published=80", "missing mandatory field 'target'"), ("target=80,foo=1", "invalid field key: foo"),
        ("70000:80", "invalid hostPort: 70000"),
    ])
    func `bad ports are refused in words`(_ text: String, _ expected: String) {
        #expect(complaint { _ = try PublishOption.parse(text) } == expected)
    }
}

@Suite struct MountOptionTests {
    @Test func `a bind, a volume and a tmpfs are read with their options`() throws {
        let bind = try MountOption.parse("type=bind,source=/a,target=/b,readonly,bind-propagation=rshared")
        #expect(
            bind
                == Mount(
                    type: "bind", source: "/a", target: "/b", readOnly: true,
                    bindOptions: BindOptions(propagation: "rshared")))
        let volume = try MountOption.parse(
            "src=data,dst=/d,volume-driver=local,volume-opt=type=nfs,\"volume-opt=o=a,b\",volume-label=k=v,volume-nocopy"
        )
        #expect(volume.type == "volume" && volume.source == "data")
        #expect(
            volume.volumeOptions
                == VolumeOptions(
                    noCopy: true, labels: ["k": "v"],
                    driverConfig: Driver(name: "local", options: ["type": "nfs", "o": "a,b"])))
        let memory = try MountOption.parse("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770")
        #expect(memory.tmpfsOptions == TmpfsOptions(sizeBytes: 1 << 20, mode: 0o1770))
    }

    @Test(arguments: [
        ("foo", "invalid field 'foo' must be a key=value pair"),
        ("type=bind,source=/a", "target is required"),
        ("type=tmpfs,destination=/x,tmpfs-size=foo", "invalid value for tmpfs-size: foo"),
        (
            "type=volume,target=/a,bind-propagation=shared",
            "cannot mix 'bind-*' options with mount type 'volume'"
        ),
        ("target=/a,foo=bar", "unexpected key 'foo' in 'foo=bar'"),
        ("target=/a,readonly=x", "invalid value for readonly: x"),
    ])
    func `bad mounts are refused in words`(_ text: String, _ expected: String) {
        #expect(complaint { _ = try MountOption.parse(text) } == expected)
    }
}

@Suite struct SmallGrammarTests {
    @Test(arguments: [
        ("10s", 10_000_000_000), ("1m30s", 90_000_000_000), ("1.5h", 5_400_000_000_000),
        ("100ms", 100_000_000),
        ("0", 0), ("-1s", -1_000_000_000), ("2160h", 7_776_000_000_000_000), (".5s", 500_000_000),
    ])
    func `durations are Go's`(_ text: String, _ expected: Int64) throws {
        #expect(try GoDuration.parse(text) == expected)
    }

    @Test(arguments: [
        ("5", "time: missing unit in duration \"5\""), ("", "time: invalid duration \"\""),
        ("5x", "time: unknown unit \"x\" in duration \"5x\""), ("abc", "time: invalid duration \"abc\""),
    ])
    func `bad durations are refused in Go's words`(_ text: String, _ expected: String) {
        #expect(complaint { _ = try GoDuration.parse(text) } == expected)
    }

    @Test(arguments: [
        (7_776_000_000_000_000, "2160h0m0s"), (90_000_000_000, "1m30s"), (1_500_000_000, "1.5s"),
        (5_000_000, "5ms"), (0, "0s"),
    ])
    func `durations print as Go prints them`(_ nanoseconds: Int64, _ expected: String) {
        #expect(GoDuration.format(nanoseconds) == expected)
    }

    @Test(arguments: [
        ("100", 100), ("1k", 1024), ("512m", 536_870_912), ("1.5GiB", 1_610_612_736), ("2gb", 2_147_483_648),
        ("1b", 1),
    ])
    func `sizes are multiples of 1024`(_ text: String, _ expected: Int64) throws {
        #expect(try Size.bytes(text) == expected)
    }

    @Test func `bad sizes are refused`() {
        #expect(complaint { _ = try Size.bytes("x") } == "invalid size: 'x'")
        #expect(complaint { _ = try Size.bytes("1x") } == "invalid suffix: 'x'")
        #expect(complaint { _ = try Size.bytes("-1") } == "invalid size: '-1'")
    }

    @Test(arguments: [("1", 1_000_000_000), ("0.5", 500_000_000), (".25", 250_000_000), ("0.001", 1_000_000)])
    func `processors are counted in billionths`(_ text: String, _ expected: Int64) throws {
        #expect(try Size.nanoCPUs(text) == expected)
    }

    @Test func `bad processor counts are refused`() {
        #expect(complaint { _ = try Size.nanoCPUs("x") } == "failed to parse x as a rational number")
        #expect(complaint { _ = try Size.nanoCPUs("0.0000000001") } == "value is too precise")
    }

    @Test func `networks are read in both forms`() throws {
        #expect(try NetworkOption.parse("a") == NetworkAttachmentConfig(target: "a"))
        #expect(
            try NetworkOption.parse("name=a,alias=x,alias=y,driver-opt=k=v")
                == NetworkAttachmentConfig(target: "a", aliases: ["x", "y"], driverOpts: ["k": "v"]))
        #expect(complaint { _ = try NetworkOption.parse("name=a,foo=b") } == "invalid field key foo")
    }

    @Test func `secrets take a name or fields`() throws {
        #expect(
            try FileReferenceOption.parse("key")
                == FileReferenceOption(source: "key", file: ReferencedFile(name: "key")))
        #expect(
            try FileReferenceOption.parse("source=key,target=/k,uid=1,gid=2,mode=0400")
                == FileReferenceOption(
                    source: "key", file: ReferencedFile(name: "/k", uid: "1", gid: "2", mode: 0o400)))
        #expect(
            complaint { _ = try FileReferenceOption.parse("source=a,mode=x") }
                == "invalid mode specified: strconv.ParseUint: parsing \"x\": invalid syntax")
    }

    @Test func `limits, preferences and resources are read`() throws {
        #expect(try UlimitOption.parse("nofile=1024:2048") == Ulimit(name: "nofile", hard: 2048, soft: 1024))
        #expect(try UlimitOption.parse("nofile=10") == Ulimit(name: "nofile", hard: 10, soft: 10))
        #expect(complaint { _ = try UlimitOption.parse("foo") } == "invalid ulimit argument: foo")
        #expect(
            try PlacementPreferenceOption.parse("spread=node.labels.z").spread?.spreadDescriptor
                == "node.labels.z")
        #expect(
            complaint { _ = try PlacementPreferenceOption.parse("foo=b") }
                == "unsupported placement preference foo (only spread is supported)")
        #expect(try GenericResourceOption.parse("gpu=2") == DiscreteGenericResource(kind: "gpu", value: 2))
        #expect(
            complaint { _ = try GenericResourceOption.parse("a=b") }
                == "invalid generic-resource request `a=b`, Named Generic Resources is not supported for service create or update"
        )
    }

    @Test func `host entries are stored address first`() throws {
        #expect(try OptionCheck.host("db:10.0.0.1") == "10.0.0.1 db")
        #expect(try OptionCheck.host("db=::1") == "::1 db")
        #expect(complaint { _ = try OptionCheck.host("foo") } == "bad format for add-host: \"foo\"")
    }

    @Test func `environment files skip comments and refuse nonsense`() throws {
        let text = "# a comment\nA=1\n\n  B=two words\nC\r\n"
        #expect(try EnvironmentFile.parse(text, named: "f") == ["A=1", "B=two words", "C"])
        #expect(
            complaint { _ = try EnvironmentFile.parse("=x", named: "f") }
                == "poorly formatted environment: no variable name on line '=x' of f")
        #expect(
            complaint { _ = try EnvironmentFile.parse("a b=x", named: "f") }
                == "poorly formatted environment: variable 'a b' contains whitespaces in f")
    }

    @Test func `a name without a value takes the caller's, and the last of equal names counts`() {
        #expect(
            EnvironmentFile.resolve(["A=1", "B", "C", "A=2"], from: ["B": "b"]) == ["B=b", "C", "A=2"])
        // In files a name that the caller does not have is left out, as docker's client does it.
        #expect(EnvironmentFile.resolve(["A=2"], files: ["A=1", "B", "C"], from: ["B": "b"]) == ["B=b", "A=2"])
    }

    @Test(arguments: [("0444", 0o444), ("0o444", 0o444), ("9", 9), ("0", 0), ("0x1f", 31)])
    func `a file's mode is read in the base that it is written in`(text: String, mode: UInt32) throws {
        #expect(try FileReferenceOption.parse("source=s,mode=\(text)").file.mode == mode)
    }

    @Test func `a file's mode that is no number is refused`() {
        for text in ["08", "x", "", "-1", "4294967296"] {
            #expect(complaint { _ = try FileReferenceOption.parse("source=s,mode=\(text)") } != nil)
        }
    }

    @Test(arguments: [
        ("sh -c 'a b'", ["sh", "-c", "a b"]), ("a\\ b \"c \\\" d\"", ["a b", "c \" d"]), ("", []),
        ("a ''", ["a", ""]),
    ])
    func `command lines are split as a shell splits them`(_ text: String, _ expected: [String]) throws {
        #expect(try ShellWords.split(text) == expected)
    }

    @Test func `times are read as moments or as ages`() throws {
        let now = try #require(Timestamp("2026-11-24T12:00:00Z"))
        #expect(try TimeArgument.parse("1h", now: now) == "1795518000.000000000")
        #expect(try TimeArgument.parse("2026-11-24T12:00:00Z", now: now) == "1795521600.000000000")
        #expect(try TimeArgument.parse("2026-11-24", now: now) == "1795478400.000000000")
        #expect(try TimeArgument.parse("1700000000", now: now) == "1700000000")
    }
}
