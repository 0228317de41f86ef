import SwarmCore
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
        #expect(configuration.host == "unix:///run/swarmd.sock")
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
}
