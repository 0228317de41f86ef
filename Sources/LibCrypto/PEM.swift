/// One block of a PEM file (RFC 7468): a label and the bytes it holds.
package struct PEMBlock: Sendable, Equatable {
    package var label: String
    package var bytes: [UInt8]

    package static let certificate = "CERTIFICATE"
    package static let certificateRequest = "CERTIFICATE REQUEST"
    package static let privateKey = "PRIVATE KEY"

    /// Larger files are refused before they are read through.
    package static let fileBytesMax = 1 << 20
    package static let blocksMax = 64
    private static let lineColumns = 64

    package init(_ label: String, _ bytes: [UInt8]) { (self.label, self.bytes) = (label, bytes) }

    package var encoded: [UInt8] {
        var text = Array("-----BEGIN \(label)-----\n".utf8)
        let digits = Base64.encode(bytes)
        for start in stride(from: 0, to: digits.count, by: Self.lineColumns) {
            text += digits[start..<min(start + Self.lineColumns, digits.count)] + [UInt8(ascii: "\n")]
        }
        return text + Array("-----END \(label)-----\n".utf8)
    }

    /// All blocks in order; text around them is commentary, as RFC 7468 section 2 allows.
    package static func parse(_ text: [UInt8]) throws(CryptoError) -> [PEMBlock] {
        guard text.count <= fileBytesMax else { throw .malformed("a PEM file larger than 1 MiB") }
        var blocks: [PEMBlock] = []
        var open: (label: [UInt8], digits: [UInt8])?
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true) {
            let line = trimmed(line)
            if let current = open {
                if let label = boundary(line, "-----END ") {
                    guard label == current.label else {
                        throw .malformed("a PEM block whose two labels differ")
                    }
                    guard let bytes = Base64.decode(current.digits) else {
                        throw .malformed("a PEM block that is not base 64")
                    }
                    guard blocks.count < blocksMax else {
                        throw .malformed("a PEM file of more than 64 blocks")
                    }
                    blocks.append(PEMBlock(String(decoding: label, as: UTF8.self), bytes))
                    open = nil
                } else {
                    open?.digits += line
                }
            } else if let label = boundary(line, "-----BEGIN ") {
                open = (label, [])
            }
        }
        guard open == nil else { throw .malformed("a PEM block without an end") }
        return blocks
    }

    private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var line = line
        while let last = line.last, last == 0x20 || last == 0x09 || last == 0x0D { line = line.dropLast() }
        return line
    }

    private static func boundary(_ line: ArraySlice<UInt8>, _ start: String) -> [UInt8]? {
        let end = Array("-----".utf8)
        guard line.starts(with: start.utf8), line.count >= start.utf8.count + end.count,
            line.suffix(end.count).elementsEqual(end)
        else { return nil }
        return Array(line.dropFirst(start.utf8.count).dropLast(end.count))
    }
}
