import SwarmCLI
import SwarmClient
import SwarmCore
import Testing

/// `system df`, `stats` and `image history` as Docker's client prints them.
@Suite struct UsageTranscriptTests {
    private static func json(_ text: String) throws -> JSONValue { try JSONValue(parsing: Array(text.utf8)) }

    @Test func `disk usage counts shared layers once and what nothing uses`() throws {
        let usage = try Self.json(
            """
            {"LayersSize":3000000,"Images":[{"Containers":1,"Size":1984249,"SharedSize":0},{"Containers":0,"Size":1015751}],
            "Containers":[{"State":"running","SizeRw":1000},{"State":"exited","SizeRw":3000}],
            "Volumes":[{"UsageData":{"RefCount":1,"Size":10}},{"UsageData":{"RefCount":0,"Size":30}}],"BuildCache":[]}
            """)
        #expect(
            try DiskUsage.listing(usage).render(format: nil) == """
                TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
                Images          2         1         3MB       1.016MB (33%)
                Containers      2         1         4kB       3kB (75%)
                Local Volumes   2         1         40B       30B (75%)
                Build Cache     0         0         0B        0B

                """)
    }

    @Test func `a reading says shares of processors and memory`() throws {
        let answer = try Self.json(
            """
            {"id":"0123456789abcdef","name":"/web.1","cpu_stats":{"cpu_usage":{"total_usage":3000000000},
            "system_cpu_usage":40000000000,"online_cpus":2},"precpu_stats":{"cpu_usage":{"total_usage":2000000000},
            "system_cpu_usage":36000000000},"memory_stats":{"usage":3145728,"limit":67108864,"stats":{"inactive_file":1048576}},
            "networks":{"eth0":{"rx_bytes":1000,"tx_bytes":2000},"eth1":{"rx_bytes":10,"tx_bytes":0}},
            "blkio_stats":{"io_service_bytes_recursive":[{"op":"Read","value":4096},{"op":"write","value":5}]},
            "pids_stats":{"current":3}}
            """)
        let readings = [ContainerUse(answer, asked: "web.1"), ContainerUse(.null, asked: "gone")]
        let format = "{{.Container}} {{.ID}} {{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.NetIO}} {{.BlockIO}} {{.PIDs}}"
        #expect(
            try ContainerUse.listing(readings, truncates: true).render(format: format) == """
                web.1 0123456789ab web.1 50.00% 2MiB / 64MiB 3.13% 1.01kB / 2kB 4.1kB / 5B 3
                gone   0.00% 0B / 0B 0.00% 0B / 0B 0B / 0B 0

                """)
    }

    @Test func `history is newest first, with long instructions cut`() throws {
        let steps = try Self.json(
            """
            [{"Id":"sha256:0123456789abcdef","Created":1000,"CreatedBy":"/bin/sh -c #(nop)\\tCMD [\\"sh\\"]","Size":0},
            {"Id":"<missing>","Created":400,"CreatedBy":"\(String(repeating: "x", count: 50))","Size":1984249,"Comment":"c"}]
            """)
        let now = Timestamp(nanoseconds: 1300 * 1_000_000_000)
        #expect(
            try ImageSteps.listing(steps.elements, isHuman: true, truncates: true, now: now).render(format: nil) == """
                IMAGE          CREATED          CREATED BY                                      SIZE      COMMENT
                0123456789ab   5 minutes ago    /bin/sh -c #(nop) CMD ["sh"]                    0B        \("")
                <missing>      15 minutes ago   xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…   1.98MB    c

                """)
        #expect(
            try ImageSteps.listing(steps.elements, isHuman: false, truncates: false, now: now)
                .render(format: "{{.ID}} {{.CreatedAt}} {{.Size}}") == """
                    sha256:0123456789abcdef 1970-01-01T00:16:40Z 0
                    <missing> 1970-01-01T00:06:40Z 1984249

                    """)
    }
}
