import Foundation
import NIOHTTP1
import SwarmCore
import Testing

@testable import RegistryClient

/// Logging in at a registry, and searching its index.
@Suite struct FrontTests {
    private static let front = RegistryFront(settings: RegistrySettings())
    private static let basic = "Basic " + Data("ann:secret".utf8).base64EncodedString()

    @Test func `a registry that asks for a password lets in who has it`() async throws {
        let answer: FakeRegistry.Answer = { request in
            guard request.header("authorization") != Self.basic else { return .init() }
            return .init(
                status: .unauthorized, headers: [("www-authenticate", "Basic realm=\"here\"")],
                body: Array("{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"who is there\"}]}".utf8))
        }
        try await FakeRegistry.with(answer) { registry in
            let good = RegistryCredentials(username: "ann", password: "secret")
            try await Self.front.logIn(registry.host, good)
            try await Self.front.logIn("http://\(registry.host)/v2/", good)
            let error = await #expect(throws: SwarmError.self) {
                try await Self.front.logIn(registry.host, RegistryCredentials(username: "ann", password: "wrong"))
            }
            #expect(error?.code == .unauthenticated)
            #expect(error?.message.contains("unauthorized: who is there") == true)
        }
    }

    @Test func `a token is asked for without a scope`() async throws {
        let answer: FakeRegistry.Answer = { request in
            if request.path == "/token" {
                guard request.header("authorization") == Self.basic, !request.query.contains("scope") else {
                    return .init(status: .unauthorized)
                }
                return .init(body: Array("{\"token\":\"abc\"}".utf8))
            }
            guard request.header("authorization") != "Bearer abc" else { return .init() }
            let host = request.header("host") ?? ""
            let challenge = "Bearer realm=\"http://\(host)/token\",service=\"registry\""
            return .init(status: .unauthorized, headers: [("www-authenticate", challenge)])
        }
        try await FakeRegistry.with(answer) { registry in
            try await Self.front.logIn(registry.host, RegistryCredentials(username: "ann", password: "secret"))
            #expect(registry.requests.last?.path == "/v2/")
            await #expect(throws: SwarmError.self) {
                try await Self.front.logIn(registry.host, RegistryCredentials(username: "bob", password: "secret"))
            }
        }
    }

    @Test func `an address that is none is refused before anything is asked`() async {
        let error = await #expect(throws: SwarmError.self) {
            try await Self.front.logIn("no host", RegistryCredentials(username: "ann", password: "secret"))
        }
        #expect(error?.code == .invalidArgument)
    }

    @Test func `an index is asked for a word and a number`() async throws {
        let answer: FakeRegistry.Answer = { request in
            guard request.path == "/v1/search", request.query == "q=a%20b&n=5" else { return .init(status: .notFound) }
            let text = """
                {"num_results":2,"results":[{"name":"one","description":"d","star_count":3,"is_official":true,\
                "is_automated":false},{"name":"two"}]}
                """
            return .init(body: Array(text.utf8))
        }
        try await FakeRegistry.with(answer) { registry in
            let found = try await Self.front.search("\(registry.host)/a b", limit: 5, nil)
            #expect(found.map(\.name) == ["one", "two"])
            #expect(found.first?.stars == 3)
            #expect(found.first?.isOfficial == true)
            let error = await #expect(throws: SwarmError.self) {
                _ = try await Self.front.search("\(registry.host)/other", limit: 5, nil)
            }
            #expect(error?.message.contains("404") == true, "\(error.map(String.init(describing:)) ?? "")")
        }
    }
}
