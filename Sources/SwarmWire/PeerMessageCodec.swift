package import SwarmCore
import SwarmModel
package import SwarmNode

/// Messages between nodes as bytes. Format 1: the format's number, the kind, then the kind's fields.
///
/// Everything but swarm objects is binary; those are Docker's JSON inside it (decision 3).
package enum PeerMessageCodec {
    package static let version: UInt8 = 1

    package enum Kind: UInt8, Sendable, CaseIterable {
        case raft = 1, toManager = 2, toAgent = 3, request = 4, answer = 5, refused = 6, ask = 7
    }

    package static func encode(_ message: PeerMessage) throws(SwarmError) -> [UInt8] {
        var writer = WireWriter()
        writer.byte(version)
        writer.byte(Kind(of: message).rawValue)
        switch message {
        case .raft(let message, let epoch):
            writer.number(epoch)
            try writer.raft(message)
        case .toManager(let message): try writer.agentMessage(message)
        case .toAgent(let message): try writer.dispatchMessage(message)
        case .request(let number, let request, let tokens, let leader):
            writer.number(number)
            writer.leaderClaim(leader)
            try writer.optional(tokens) { writer, tokens throws(SwarmError) in
                writer.text(tokens.worker)
                writer.text(tokens.manager)
            }
            try writer.controlRequest(request)
        case .ask(let number, let request, let leader):
            writer.number(number)
            writer.leaderClaim(leader)
            writer.attachmentRequest(request)
        case .answer(let number, let result):
            writer.number(number)
            writer.flag((try? result.get()) != nil)
            switch result {
            case .success(let response): writer.controlResponse(response)
            case .failure(let error): writer.error(error)
            }
        case .refused(let number): writer.number(number)
        }
        return writer.bytes
    }

    /// What the bytes claim to be, without reading the rest.
    package static func kind(of bytes: [UInt8]) throws(SwarmError) -> Kind {
        var reader = WireReader(bytes, "a peer's message")
        return try reader.kind()
    }

    package static func decode(_ bytes: [UInt8]) throws(SwarmError) -> PeerMessage {
        var reader = WireReader(bytes, "a peer's message")
        let message = try decodeFields(of: reader.kind(), &reader)
        try reader.end()
        return message
    }

    private static func decodeFields(
        of kind: Kind, _ reader: inout WireReader
    ) throws(SwarmError) -> PeerMessage {
        switch kind {
        case .raft:
            let epoch = try reader.number()
            return .raft(try reader.raft(), epoch: epoch)
        case .toManager: return .toManager(try reader.agentMessage())
        case .toAgent: return .toAgent(try reader.dispatchMessage())
        case .request:
            let number = try reader.number()
            let leader = try reader.leaderClaim()
            let tokens = try reader.optional { reader throws(SwarmError) in
                JoinTokens(worker: try reader.text(), manager: try reader.text())
            }
            return .request(number: number, try reader.controlRequest(), freshTokens: tokens, leader: leader)
        case .ask:
            let number = try reader.number()
            let leader = try reader.leaderClaim()
            return .ask(number: number, try reader.attachmentRequest(), leader: leader)
        case .answer:
            let number = try reader.number()
            return .answer(
                number: number,
                try reader.flag() ? .success(reader.controlResponse()) : .failure(reader.error()))
        case .refused: return .refused(number: try reader.number())
        }
    }
}

extension PeerMessageCodec.Kind {
    package init(of message: PeerMessage) {
        switch message {
        case .raft: self = .raft
        case .toManager: self = .toManager
        case .toAgent: self = .toAgent
        case .request: self = .request
        case .ask: self = .ask
        case .answer: self = .answer
        case .refused: self = .refused
        }
    }
}

/// A failure as bytes, for answers that are not a ``PeerMessage``.
package enum ErrorCodec {
    package static func encode(_ error: SwarmError) -> [UInt8] {
        var writer = WireWriter()
        writer.error(error)
        return writer.bytes
    }

    package static func decode(_ bytes: [UInt8]) throws(SwarmError) -> SwarmError {
        var reader = WireReader(bytes, "a peer's refusal")
        let error = try reader.error()
        try reader.end()
        return error
    }
}

extension WireWriter {
    mutating func error(_ error: SwarmError) {
        text(error.code.rawValue)
        text(error.message)
        flag(error.cause != nil)
        if let cause = error.cause { text(cause) }
    }

    mutating func controlResponse(_ response: ControlResponse) {
        switch response {
        case .done: byte(0)
        case .created(let id, let warnings):
            byte(1)
            text(id)
            texts(warnings)
        }
    }
}

extension WireReader {
    fileprivate mutating func kind() throws(SwarmError) -> PeerMessageCodec.Kind {
        let version = try byte()
        guard version == PeerMessageCodec.version else { throw damaged("format \(version) is not known") }
        let code = try byte()
        guard let kind = PeerMessageCodec.Kind(rawValue: code) else {
            throw damaged("kind \(code) is not known")
        }
        return kind
    }

    mutating func error() throws(SwarmError) -> SwarmError {
        // A newer version may have codes that this one does not know.
        let code = SwarmError.Code(rawValue: try text()) ?? .unknown
        let message = try text()
        return SwarmError(
            code, message, cause: try optional { reader throws(SwarmError) in try reader.text() })
    }

    mutating func controlResponse() throws(SwarmError) -> ControlResponse {
        switch try byte() {
        case 0: return .done
        case 1:
            let id = try text()
            return .created(id, warnings: try texts())
        case let other: throw damaged("response \(other) is not known")
        }
    }
}
