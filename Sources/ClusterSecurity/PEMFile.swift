import LibCrypto
import SwarmCore

/// Reading of PEM with errors that name the file or field.
enum PEMFile {
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
        guard let block = blocks.filter({ $0.label == PEMBlock.privateKey }).only else {
            throw SwarmError(
                .invalidArgument, "\(place) must hold exactly one block BEGIN PRIVATE KEY (PKCS#8)")
        }
        do throws(CryptoError) { return try P256PrivateKey(pkcs8: block.bytes) } catch {
            throw SwarmError(.invalidArgument, "\(place) holds no usable private key: \(error)")
        }
    }
}
