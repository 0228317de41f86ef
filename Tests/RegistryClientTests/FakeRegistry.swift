import LibCrypto
import NIOCore
import NIOHTTP1
import NIOPosix
import SwarmCore
import Synchronization

@testable import RegistryClient

/// A registry in the test's own process, which answers whatever the test wants and remembers what it was asked.
final class FakeRegistry: Sendable {
    struct Request: Sendable {
        var method: HTTPMethod
        var path: String
        var query: String
        var headers: HTTPHeaders
        var body: String

        func header(_ name: String) -> String? { headers.first(name: name) }
    }

    struct Reply: Sendable {
        var status: HTTPResponseStatus = .ok
        var headers: [(String, String)] = []
        var body: [UInt8] = []
        /// Closes the connection after so many bytes of the body.
        var cutAfter: Int?
        /// What the head claims instead of the body's true length.
        var contentLength: Int?
    }

    typealias Answer = @Sendable (Request) -> Reply

    let channel: any Channel
    private let log: Log
    var port: Int { channel.localAddress?.port ?? 0 }
    var host: String { "127.0.0.1:\(port)" }
    var requests: [Request] { log.requests.withLock { $0 } }

    final class Log: Sendable { let requests = Mutex<[Request]>([]) }

    private init(channel: any Channel, log: Log) { (self.channel, self.log) = (channel, log) }

    static func with(
        _ answer: @escaping Answer, _ body: (FakeRegistry) async throws -> Void
    ) async throws {
        let log = Log()
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { child in
                child.eventLoop.makeCompletedFuture {
                    try child.pipeline.syncOperations.configureHTTPServerPipeline()
                    try child.pipeline.syncOperations.addHandler(Handler(answer: answer, log: log))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let registry = FakeRegistry(channel: channel, log: log)
        do {
            try await body(registry)
        } catch {
            try await channel.close()
            throw error
        }
        try await channel.close()
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        let answer: Answer
        let log: Log
        var head: HTTPRequestHead?
        var body = ""

        init(answer: @escaping Answer, log: Log) { (self.answer, self.log) = (answer, log) }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head): (self.head, body) = (head, "")
            case .body(let part): body += String(buffer: part)
            case .end:
                guard let head else { return }
                let parts = head.uri.split(separator: "?", maxSplits: 1)
                let request = Request(
                    method: head.method, path: String(parts[0]), query: parts.count > 1 ? String(parts[1]) : "",
                    headers: head.headers, body: body)
                log.requests.withLock { $0.append(request) }
                reply(answer(request), head, context)
            }
        }

        private func reply(_ reply: Reply, _ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
            var headers = HTTPHeaders(reply.headers)
            headers.replaceOrAdd(name: "content-length", value: String(reply.contentLength ?? reply.body.count))
            let answer = HTTPResponseHead(version: .http1_1, status: reply.status, headers: headers)
            context.write(wrapOutboundOut(.head(answer)), promise: nil)
            if head.method != .HEAD {
                let bytes = reply.cutAfter.map { Array(reply.body.prefix($0)) } ?? reply.body
                context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: nil)
            }
            guard reply.cutAfter == nil else {
                let channel = context.channel
                context.flush()
                channel.close(promise: nil)
                return
            }
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}

/// One image as a registry keeps it.
struct FakeImage: Sendable {
    var blobs: [String: [UInt8]] = [:]
    var manifest: [UInt8]
    var manifestType = MediaType.dockerManifest
    var layer: BlobDescriptor
    var digest: String { SHA256.digest(of: manifest) }

    init(layerBytes: Int = 300_000) {
        let layer = (0..<layerBytes).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        let config = Array("{\"architecture\":\"amd64\",\"os\":\"linux\"}".utf8)
        let (layerDigest, configDigest) = (SHA256.digest(of: layer), SHA256.digest(of: config))
        self.layer = BlobDescriptor(
            mediaType: MediaType.dockerLayer + ".gzip", digest: layerDigest, size: Int64(layer.count))
        blobs = [layerDigest: layer, configDigest: config]
        manifest = Array(
            """
            {"schemaVersion":2,"mediaType":"\(MediaType.dockerManifest)",\
            "config":{"mediaType":"\(MediaType.dockerConfiguration)","digest":"\(configDigest)",\
            "size":\(config.count)},"layers":[{"mediaType":"\(MediaType.dockerLayer).gzip",\
            "digest":"\(layerDigest)","size":\(layer.count)}]}
            """.utf8)
    }

    /// What an honest registry answers.
    func reply(_ request: FakeRegistry.Request, repository: String = "app") -> FakeRegistry.Reply {
        if request.path == "/v2/" { return .init() }
        let prefix = "/v2/\(repository)/"
        guard request.path.hasPrefix(prefix) else { return Self.error(.notFound, "NAME_UNKNOWN", "unknown repository") }
        let rest = request.path.dropFirst(prefix.count).split(separator: "/").map(String.init)
        if rest.first == "manifests", ["latest", digest].contains(rest.last) {
            return .init(
                headers: [("content-type", manifestType), ("docker-content-digest", digest)], body: manifest)
        }
        if rest.first == "blobs", let name = rest.last, let blob = blobs[name] {
            guard let range = request.header("range") else { return .init(body: blob) }
            let start = Int(range.dropFirst("bytes=".count).prefix { $0.isNumber }) ?? 0
            return .init(
                status: .partialContent,
                headers: [("content-range", "bytes \(start)-\(blob.count - 1)/\(blob.count)")],
                body: Array(blob[start...]))
        }
        return Self.error(.notFound, "MANIFEST_UNKNOWN", "manifest unknown")
    }

    static func error(_ status: HTTPResponseStatus, _ code: String, _ message: String) -> FakeRegistry.Reply {
        .init(
            status: status, headers: [("content-type", "application/json")],
            body: Array("{\"errors\":[{\"code\":\"\(code)\",\"message\":\"\(message)\"}]}".utf8))
    }
}
