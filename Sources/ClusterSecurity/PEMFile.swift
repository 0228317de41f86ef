import LibCrypto
import SwarmCore

/// Reading of PEM with errors that name the file or field.
enum PEMFile {
    private static let sec1 = "EC PRIVATE KEY"

    static func blocks(_ text: [UInt8], in place: String) throws(SwarmError) -> [PEMBlock] {
        do throws(CryptoError) { return try PEMBlock.parse(text) } catch {
            throw SwarmError(.invalidArgument, "\(place) is not readable: \(error)")
        }
    }

    static func certificates(_ text: [UInt8], in place: String) throws(SwarmError) -> [X509Certificate] {
        try certificates(blocks(text, in: place), in: place)
    }

    static func certificates(_ blocks: [PEMBlock], in place: String) throws(SwarmError) -> [X509Certificate] {
        var certificates: [X509Certificate] = []
        for block in blocks where block.label == PEMBlock.certificate {
            do throws(CryptoError) { certificates.append(try X509Certificate(der: block.bytes)) } catch {
                throw SwarmError(.invalidArgument, "\(place) holds a damaged certificate: \(error)")
            }
        }
        return certificates
    }

    static func privateKey(_ text: [UInt8], in place: String) throws(SwarmError) -> P256PrivateKey {
        try privateKey(blocks(text, in: place), in: place)
    }

    static func privateKey(_ blocks: [PEMBlock], in place: String) throws(SwarmError) -> P256PrivateKey {
        // The second form is what "openssl ecparam -genkey" writes.
        guard let block = blocks.filter({ [PEMBlock.privateKey, sec1].contains($0.label) }).only else {
            throw SwarmError(
                .invalidArgument, "\(place) must hold exactly one block BEGIN PRIVATE KEY or BEGIN EC PRIVATE KEY")
        }
        do throws(CryptoError) {
            return block.label == sec1
                ? try P256PrivateKey(sec1: block.bytes) : try P256PrivateKey(pkcs8: block.bytes)
        } catch {
            throw SwarmError(.invalidArgument, "\(place) holds no usable private key: \(error)")
        }
    }
}
