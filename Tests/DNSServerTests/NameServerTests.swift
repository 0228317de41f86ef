import Glibc
import LinuxNetwork
import Logging
import NameService
import SwarmCore
import Testing

@testable import DNSServer

/// The resolver at 127.0.0.11 in a real network namespace, asked by `dig`.
@Suite(.enabled(if: getuid() == 0), .serialized) struct NameServerTests {
    /// A namespace with nothing but loopback, as a container's; removed at the end.
    private func withNamespace(_ body: (String) async throws -> Void) async throws {
        let name = "dns\(getpid())\(UInt32.random(in: 0 ... .max))"
        _ = shell("ip netns add \(name); ip -n \(name) link set lo up")
        do {
            try await body(name)
        } catch {
            _ = shell("ip netns del \(name)")
            throw error
        }
        _ = shell("ip netns del \(name)")
    }

    private func dig(_ namespace: String, _ question: String) -> String {
        shell("nsenter --net=/run/netns/\(namespace) dig +time=2 +tries=1 \(question) @127.0.0.11")
    }

    private func directory(replicas: Int) -> ServiceDirectory {
        let endpoints = (0..<replicas).map { number in
            EndpointRecord(
                address: IPv4Address(10 << 24 | 1 << 8 | UInt32(number + 10)), taskName: "web.\(number + 1)",
                containerName: "web.\(number + 1).t", containerID: "c\(number)")
        }
        let web = ServiceRecord(name: "web", virtualIP: IPv4Address(10 << 24 | 1 << 8 | 2), endpoints: endpoints)
        return ServiceDirectory(networks: ["n": NetworkZone(id: "n", name: "app", services: [web])])
    }

    private func serve(
        _ namespace: String, upstream: Upstream?, forwards: Bool = true, replicas: Int = 100
    ) async throws -> NameServer {
        let server = try NameServer(
            upstreams: upstream == nil ? [] : ["127.0.0.1"], upstreamPort: upstream?.port ?? 53,
            namespacePath: { _ in "/run/netns/\(namespace)" }, logger: Logger(label: "test"))
        await server.replaceDirectory(directory(replicas: replicas))
        let failures = await server.attach(
            ["c": ResolverScope(networks: ["n"], forwardsUpstream: forwards)], upstreams: [:])
        #expect(failures.isEmpty)
        return server
    }

    @Test func `names are answered over UDP and TCP, all hundred of them over TCP`() async throws {
        try await withNamespace { namespace in
            let server = try await serve(namespace, upstream: nil)
            #expect(dig(namespace, "+short web") == "10.0.1.2")
            // Asked again: from memory, with the identifier of the new query.
            #expect(dig(namespace, "+short web") == "10.0.1.2")
            #expect(dig(namespace, "+short +tcp tasks.web").split(separator: "\n").count == 100)
            #expect(dig(namespace, "+noedns +ignore tasks.web").contains("flags: qr tc rd ra"))
            // dig goes on over TCP by itself when the answer was cut.
            #expect(dig(namespace, "+short +noedns tasks.web").split(separator: "\n").count == 100)
            #expect(dig(namespace, "+short +bufsize=4096 +ignore tasks.web").split(separator: "\n").count == 100)
            #expect(dig(namespace, "AAAA web").contains("status: NOERROR"))
            #expect(dig(namespace, "+short -x 10.0.1.10") == "web.1.t.app.")
            await server.shutdown()
        }
    }

    @Test func `several addresses take turns at the front`() async throws {
        try await withNamespace { namespace in
            let server = try await serve(namespace, upstream: nil, replicas: 3)
            var first: Set<Substring> = []
            for _ in 0..<12 {
                first.insert(dig(namespace, "+short tasks.web").split(separator: "\n").first ?? "")
            }
            #expect(first.count == 3)
            await server.shutdown()
        }
    }

    @Test func `a change is seen by the next query`() async throws {
        try await withNamespace { namespace in
            let server = try await serve(namespace, upstream: nil, replicas: 2)
            #expect(dig(namespace, "+short web.2") == "10.0.1.11")
            await server.replaceDirectory(directory(replicas: 1))
            #expect(dig(namespace, "web.2").contains("SERVFAIL"))
            #expect(dig(namespace, "+short tasks.web") == "10.0.1.10")
            await server.shutdown()
        }
    }

    @Test func `unknown names are asked upstream once, and by TCP when the answer was cut`() async throws {
        let upstream = try await Upstream()
        try await withNamespace { namespace in
            let server = try await serve(namespace, upstream: upstream)
            #expect(dig(namespace, "+short a.test") == "192.0.2.1")
            #expect(dig(namespace, "+short A.test") == "192.0.2.1")
            #expect(upstream.asked["a.test"] == 1)
            #expect(dig(namespace, "+short +tcp big.test").split(separator: "\n").count == 60)
            #expect(dig(namespace, "nosuch.test").contains("NXDOMAIN"))
            #expect(server.counters.forwarded >= 3)
            await server.shutdown()
        }
        try await upstream.stop()
    }

    @Test func `internal networks ask nobody`() async throws {
        let upstream = try await Upstream()
        try await withNamespace { namespace in
            let server = try await serve(namespace, upstream: upstream, forwards: false)
            #expect(dig(namespace, "a.test").contains("NXDOMAIN"))
            #expect(upstream.asked["a.test"] == 0)
            #expect(dig(namespace, "+short web") == "10.0.1.2")
            await server.shutdown()
        }
        try await upstream.stop()
    }

    @Test func `own names are answered while the upstream is silent`() async throws {
        let upstream = try await Upstream()
        try await withNamespace { namespace in
            let server = try await serve(namespace, upstream: upstream)
            // The first leaves before the second and is still waiting when that has its answer.
            let output = shell(
                """
                bash -c 'nsenter --net=/run/netns/\(namespace) dig +time=2 +tries=1 silent.test @127.0.0.11 >/dev/null &
                nsenter --net=/run/netns/\(namespace) dig +short +time=1 +tries=1 web @127.0.0.11
                jobs -r | grep -c silent; wait'
                """)
            #expect(output == "10.0.1.2\n1")
            await server.shutdown()
        }
        try await upstream.stop()
    }

    @Test func `garbage is counted and ends nothing`() async throws {
        try await withNamespace { namespace in
            let server = try await serve(namespace, upstream: nil)
            _ = shell(
                """
                for i in 1 2 3 4 5; do head -c 200 /dev/urandom | \
                nsenter --net=/run/netns/\(namespace) timeout 1 bash -c 'cat >/dev/udp/127.0.0.11/53'; done
                nsenter --net=/run/netns/\(namespace) timeout 1 bash -c 'printf "\\0\\5abc" >/dev/tcp/127.0.0.11/53'
                """)
            #expect(dig(namespace, "+short web") == "10.0.1.2")
            #expect(dig(namespace, "+short +tcp web") == "10.0.1.2")
            #expect(server.counters.malformed > 0)
            await server.shutdown()
        }
    }

    @Test func `the container may serve port 53 itself`() async throws {
        try await withNamespace { namespace in
            let server = try await serve(namespace, upstream: nil)
            let status = try openInNetworkNamespace("/run/netns/\(namespace)") { () throws(SwarmError) -> Int32 in
                let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
                defer { close(descriptor) }
                var name = sockaddr_in()
                name.sin_family = sa_family_t(AF_INET)
                name.sin_port = UInt16(53).bigEndian
                return withUnsafePointer(to: &name) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                    }
                }
            }
            #expect(status == 0)
            #expect(dig(namespace, "+short web") == "10.0.1.2")
            await server.shutdown()
        }
    }
}
