import SwarmCore
import SwarmModel
import Testing

@testable import SwarmDaemon

@Suite struct DaemonConfigurationTests {
    @Test func `a flag comes before the environment, that before the file, that before the default`() throws {
        let file = "# a comment\nSWARMD_DATA_DIR=/file\nSWARMD_RUN_DIR=/file\nSWARMD_CGROUP_PARENT=/file\n"
        let configuration = try DaemonConfiguration(
            arguments: ["--data-dir", "/flag"], environment: ["SWARMD_DATA_DIR": "/env", "SWARMD_RUN_DIR": "/env"],
            fileText: file)
        #expect(configuration.dataDirectory == "/flag")
        #expect(configuration.runDirectory == "/env")
        #expect(configuration.cgroupParent == "/file")
        #expect(configuration.hosts == ["unix:///run/swarmd.sock"])
    }

    @Test(arguments: [
        (["--nope", "1"], [:], nil, "SWARMD_NOPE"), ([], ["SWARMD_WHAT": "1"], nil, "SWARMD_WHAT"),
        ([], [:], "SWARMD_DATADIR=/x", "SWARMD_DATADIR"), ([], [:], "DATA_DIR=/x", "line 1"),
        (["--data-dir"], [:], nil, "--data-dir needs a value"), (["--host", "tcp://1:2"], [:], nil, "tcp://1:2"),
    ] as [([String], [String: String], String?, String)])
    func `what is not known is refused by its name`(
        _ arguments: [String], _ environment: [String: String], _ file: String?, _ word: String
    ) {
        let error = #expect(throws: SwarmError.self) {
            try DaemonConfiguration(arguments: arguments, environment: environment, fileText: file)
        }
        #expect(error?.message.contains(word) == true)
    }

    @Test func `addresses of one place add up, and replace those of a place that comes later`() throws {
        let configuration = try DaemonConfiguration(
            arguments: ["--host", "unix:///a", "--host=tcp://[::1]:2375,tcp://:2376", "--insecure-tcp"],
            environment: ["SWARMD_HOST": "unix:///b"], fileText: "SWARMD_HOST=unix:///c\n")
        #expect(
            try configuration.addresses() == [
                .unix(path: "/a"), .tcp(host: "::1", port: 2375), .tcp(host: "0.0.0.0", port: 2376),
            ])
        let fromFile = try DaemonConfiguration(
            arguments: [], environment: [:], fileText: "SWARMD_HOST=unix:///c\nSWARMD_HOST=unix:///d\n")
        #expect(fromFile.hosts == ["unix:///c", "unix:///d"])
    }

    @Test(arguments: [
        (["--host", "tcp://0.0.0.0:2375"], "--insecure-tcp"), (["--host", "tcp://h:2376", "--tlsverify"], "--tlscacert"),
        (["--host", "tcp://h"], "tcp://address:port"), (["--host", "tcp://h:0"], "tcp://address:port"),
        (["--host", "unix://relative"], "unix:///path"), (["--host", ""], "no address"),
        (["--tlsverify=maybe"], "true or false"),
    ])
    func `an address that cannot be, or that everybody could command, is refused in words`(
        _ arguments: [String], _ words: String
    ) {
        let error = #expect(throws: SwarmError.self) {
            try DaemonConfiguration(arguments: arguments, environment: [:], fileText: nil)
        }
        #expect(error?.message.contains(words) == true)
    }

    @Test func `labels and resources of one place add up, and replace those of a place that comes later`() throws {
        let configuration = try DaemonConfiguration(
            arguments: ["--label", "rack=a,b", "--label=zone=1", "--node-generic-resource", "gpu=A,gpu=B"],
            environment: ["SWARMD_LABEL": "rack=c", "SWARMD_NODE_GENERIC_RESOURCE": "ssd=4"], fileText: nil)
        #expect(configuration.labels == ["rack=a,b", "zone=1"])
        #expect(configuration.genericResources == (try GenericResource.parse(["gpu=A", "gpu=B"])))
        for wrong in [["--label", "rack"], ["--node-generic-resource", "gpu"]] {
            #expect(throws: SwarmError.self) {
                try DaemonConfiguration(arguments: wrong, environment: [:], fileText: nil)
            }
        }
    }
}
