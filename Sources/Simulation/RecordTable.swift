import Store
import SwarmCore
import SwarmNode

/// Keeps transactions and images by number instead of encoding them: what travels is the number.
final class RecordTable: ObjectCodec, @unchecked Sendable {
    // One world, one thread.
    private var transactions: [Transaction] = []
    private var images: [StoreImage] = []

    private func bytes(_ number: Int) -> [UInt8] {
        stride(from: 24, through: 0, by: -8).map { UInt8(number >> $0 & 255) }
    }
    private func number(_ bytes: [UInt8]) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }

    func encode(_ transaction: Transaction) -> [UInt8] {
        transactions.append(transaction)
        return bytes(transactions.count - 1)
    }

    func decodeTransaction(_ bytes: [UInt8]) throws(SwarmError) -> Transaction {
        let number = number(bytes)
        guard bytes.count == 4, transactions.indices.contains(number) else {
            throw SwarmError(.internal, "a transaction that nobody wrote")
        }
        return transactions[number]
    }

    func encode(_ image: StoreImage) -> [UInt8] {
        images.append(image)
        return bytes(images.count - 1)
    }

    func decodeImage(_ bytes: [UInt8]) throws(SwarmError) -> StoreImage {
        let number = number(bytes)
        guard bytes.count == 4, images.indices.contains(number) else {
            throw SwarmError(.internal, "an image that nobody wrote")
        }
        return images[number]
    }
}
