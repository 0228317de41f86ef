/// Text in columns, as the docker client lays it out.
package struct Table: Sendable {
    /// The narrowest column.
    static let columnMin = 10
    /// Blanks after each column's widest cell.
    static let gap = 3

    package var rows: [[String]] = []

    package init(_ rows: [[String]] = []) { self.rows = rows }

    /// The lines, without padding after the last cell.
    package var text: String {
        var widths: [Int] = []
        for row in rows {
            for (index, cell) in row.dropLast().enumerated() {
                let width = max(Self.columnMin, cell.count + Self.gap)
                if index < widths.count {
                    widths[index] = max(widths[index], width)
                } else {
                    widths.append(width)
                }
            }
        }
        var text = ""
        for row in rows {
            for (index, cell) in row.enumerated() {
                text += cell
                if index < row.count - 1 { text += String(repeating: " ", count: widths[index] - cell.count) }
            }
            text += "\n"
        }
        return text
    }
}

/// The order in which people expect names: `web2` before `web10`.
package enum NaturalOrder {
    package static func precedes(_ left: String, _ right: String) -> Bool {
        let (lefts, rights) = (chunks(left), chunks(right))
        for (a, b) in zip(lefts, rights) where a != b {
            if let x = UInt64(a), let y = UInt64(b), x != y { return x < y }
            return a < b
        }
        return lefts.count < rights.count
    }

    private static func chunks(_ text: String) -> [String] {
        var chunks: [String] = []
        var wasDigit: Bool?
        for character in text {
            let isDigit = character.isASCII && character.isNumber
            if isDigit == wasDigit {
                chunks[chunks.count - 1].append(character)
            } else {
                chunks.append(String(character))
            }
            wasDigit = isDigit
        }
        return chunks
    }
}

extension String {
    /// At most so many characters.
    func cut(to count: Int) -> String { String(prefix(count)) }

    /// At most so many characters, the last of them an ellipsis when something is missing.
    func ellipsis(_ count: Int) -> String { self.count <= count ? self : prefix(max(0, count - 1)) + "…" }

    /// An identifier as lists show it: without a digest's algorithm, 12 characters.
    var shortID: String { String((split(separator: ":", maxSplits: 1).last ?? self[...]).prefix(12)) }
}
