import FoundationEssentials
import Store
import SwarmCore
import SwarmNode

/// The log's format: Docker's own JSON, the one schema there is.
struct JSONObjectCodec: ObjectCodec {
    func encode(_ transaction: Transaction) -> [UInt8] { encodeAny(transaction) }
    func encode(_ image: StoreImage) -> [UInt8] { encodeAny(image) }

    func decodeTransaction(_ bytes: [UInt8]) throws(SwarmError) -> Transaction {
        try decode(bytes, "log entry")
    }
    func decodeImage(_ bytes: [UInt8]) throws(SwarmError) -> StoreImage { try decode(bytes, "snapshot") }

    private func encodeAny(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(value))
        } catch {
            preconditionFailure("our own objects are always encodable: \(error)")
        }
    }

    private func decode<Value: Decodable>(_ bytes: [UInt8], _ what: String) throws(SwarmError) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(bytes))
        } catch {
            throw SwarmError(
                .internal, "a \(what) cannot be read; was it written by a newer swarmd?", cause: "\(error)")
        }
    }
}
