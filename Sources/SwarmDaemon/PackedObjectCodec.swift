import FoundationEssentials
import Store
import SwarmCore
import SwarmNode

/// The log's format: the API's types, packed (decision 24). What an earlier version wrote as JSON is still read.
struct PackedObjectCodec: ObjectCodec {
    func encode(_ transaction: Transaction) -> [UInt8] { pack(transaction) }
    func encode(_ image: StoreImage) -> [UInt8] { pack(image) }

    func decodeTransaction(_ bytes: [UInt8]) throws(SwarmError) -> Transaction {
        try decode(bytes, "log entry")
    }
    func decodeImage(_ bytes: [UInt8]) throws(SwarmError) -> StoreImage { try decode(bytes, "snapshot") }

    private func pack(_ value: some Encodable) -> [UInt8] {
        do { return try Packed.encode(value) } catch {
            preconditionFailure("our own objects are always encodable: \(error)")
        }
    }

    private func decode<Value: Decodable>(_ bytes: [UInt8], _ what: String) throws(SwarmError) -> Value {
        do {
            return Packed.isPacked(bytes)
                ? try Packed.decode(Value.self, from: bytes) : try JSONDecoder().decode(Value.self, from: Data(bytes))
        } catch {
            throw SwarmError(
                .internal, "a \(what) cannot be read; was it written by a newer swarmd?", cause: "\(error)")
        }
    }
}
