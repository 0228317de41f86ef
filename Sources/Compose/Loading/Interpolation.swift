/// Puts the values of variables into texts.
struct Interpolation {
    let dialect: Dialect
    let variables: [String: String]
    /// What is left of `StackLimits.interpolatedTotalBytesMax`.
    private var bytesLeft = StackLimits.interpolatedTotalBytesMax
    /// Variables that were asked for, have no value and no default; in the order of appearance.
    private(set) var unset: [String] = []
    /// Whether a lone `$` was kept in the text at hand.
    private(set) var hasLoneDollar = false
    /// A name without braces in the text at hand that Docker's client would read a default after.
    private(set) var unbraced: String?

    struct Problem: Error { var message: String }

    init(_ dialect: Dialect, _ variables: [String: String]) {
        (self.dialect, self.variables) = (dialect, variables)
    }

    mutating func substitute(_ text: String) throws(Problem) -> String {
        guard text.utf8.contains(UInt8(ascii: "$")) else { return text }
        hasLoneDollar = false
        unbraced = nil
        unset = []
        let bytes = Array(text.utf8)
        let result =
            switch dialect {
            case .docker: try docker(bytes, text)
            case .specification: try specification(bytes[...], depth: 0)
            }
        return String(decoding: result, as: UTF8.self)
    }

    private mutating func append(_ more: some Collection<UInt8>, to result: inout [UInt8]) throws(Problem) {
        bytesLeft -= more.count
        guard bytesLeft >= 0 && result.count + more.count <= StackLimits.interpolatedBytesMax else {
            throw Problem(message: "interpolation yields too much text")
        }
        result += more
    }

    private static func isNameStart(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "_") || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
    }

    private static func isName(_ byte: UInt8) -> Bool { isNameStart(byte) || (0x30...0x39).contains(byte) }

    private static func text(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

    // MARK: The Compose Specification

    private mutating func specification(_ bytes: ArraySlice<UInt8>, depth: Int) throws(Problem) -> [UInt8] {
        guard depth <= StackLimits.interpolationDepthMax else {
            throw Problem(message: "variables are nested more than \(StackLimits.interpolationDepthMax) deep")
        }
        var result: [UInt8] = []
        var index = bytes.startIndex
        func at(_ index: Int) -> UInt8 { index < bytes.endIndex ? bytes[index] : 0 }
        while index < bytes.endIndex {
            let run = bytes[index...].prefix { $0 != UInt8(ascii: "$") }
            try append(run, to: &result)
            index = run.endIndex
            guard index < bytes.endIndex else { break }
            let next = at(index + 1)
            if next == UInt8(ascii: "$") {
                try append([next], to: &result)
                index += 2
            } else if next == UInt8(ascii: "{") {
                guard let end = Self.closingBrace(bytes, from: index + 1) else {
                    throw Problem(message: "\"\(Self.text(bytes[index...]))\" has no closing brace")
                }
                try append(try expression(bytes[(index + 2)..<end], depth: depth), to: &result)
                index = end + 1
            } else if Self.isNameStart(next) {
                let name = bytes[(index + 1)...].prefix(while: Self.isName)
                try append(value(Self.text(name)).utf8, to: &result)
                index = name.endIndex
                let mark = at(index) == UInt8(ascii: ":") ? at(index + 1) : at(index)
                if mark == UInt8(ascii: "-") || mark == UInt8(ascii: "?") { unbraced = Self.text(name) }
            } else {
                hasLoneDollar = true
                try append([UInt8(ascii: "$")], to: &result)
                index += 1
            }
        }
        return result
    }

    private static func closingBrace(_ bytes: ArraySlice<UInt8>, from start: Int) -> Int? {
        var depth = 0
        for index in start..<bytes.endIndex {
            if bytes[index] == UInt8(ascii: "{") { depth += 1 }
            if bytes[index] == UInt8(ascii: "}") {
                depth -= 1
                if depth == 0 { return index }
            }
        }
        return nil
    }

    private mutating func value(_ name: String) -> String {
        if let value = variables[name] { return value }
        unset.append(name)
        return ""
    }

    /// `NAME`, or `NAME` with one of `:-` `-` `:?` `?` `:+` `+` and a word.
    private mutating func expression(_ bytes: ArraySlice<UInt8>, depth: Int) throws(Problem) -> [UInt8] {
        let nameBytes = bytes.prefix(while: Self.isName)
        guard let first = nameBytes.first, Self.isNameStart(first) else {
            throw Problem(message: "\"${\(Self.text(bytes))}\" names no variable")
        }
        let name = Self.text(nameBytes)
        var rest = bytes[nameBytes.endIndex...]
        if rest.isEmpty { return Array(value(name).utf8) }
        let isStrict = rest.first == UInt8(ascii: ":")
        if isStrict { rest = rest.dropFirst() }
        let word = rest.dropFirst()
        let found = variables[name]
        let isPresent = found != nil && !(isStrict && found == "")
        switch rest.first {
        case UInt8(ascii: "-"):
            return isPresent ? Array((found ?? "").utf8) : try specification(word, depth: depth + 1)
        case UInt8(ascii: "+"): return isPresent ? try specification(word, depth: depth + 1) : []
        case UInt8(ascii: "?"):
            if isPresent { return Array((found ?? "").utf8) }
            let reason = Self.text(try specification(word, depth: depth + 1))
            throw Problem(
                message: "required variable \(name) is missing a value" + (reason.isEmpty ? "" : ": \(reason)"))
        default: throw Problem(message: "\"${\(Self.text(bytes))}\" is no form of a variable")
        }
    }

    // MARK: Docker

    /// One regular expression's worth: no nesting, and a default may follow a name without braces.
    private mutating func docker(_ bytes: [UInt8], _ text: String) throws(Problem) -> [UInt8] {
        var result: [UInt8] = []
        var index = 0
        func at(_ index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }
        while index < bytes.count {
            let run = bytes[index...].prefix { $0 != UInt8(ascii: "$") }
            try append(run, to: &result)
            index = run.endIndex
            guard index < bytes.count else { break }
            let isBraced = at(index + 1) == UInt8(ascii: "{")
            let start = index + (isBraced ? 2 : 1)
            if at(index + 1) == UInt8(ascii: "$") {
                try append([UInt8(ascii: "$")], to: &result)
                index += 2
                continue
            }
            guard Self.isNameStart(at(start)) else { throw Problem(message: text) }
            var end = start
            while Self.isName(at(end)) && end < bytes.count { end += 1 }
            let mark = at(end) == UInt8(ascii: ":") ? end + 1 : end
            if at(mark) == UInt8(ascii: "-") || at(mark) == UInt8(ascii: "?") {
                while end < bytes.count && bytes[end] != UInt8(ascii: "}") { end += 1 }
            }
            if isBraced { guard at(end) == UInt8(ascii: "}") else { throw Problem(message: text) } }
            try append(dockerValue(Self.text(bytes[start..<end])).utf8, to: &result)
            index = isBraced ? end + 1 : end
        }
        return result
    }

    private mutating func dockerValue(_ expression: String) throws(Problem) -> String {
        for mark in [":-", "-", ":?", "?"] {
            guard let (name, word) = Self.split(expression, at: mark) else { continue }
            let found = variables[name]
            let isPresent = found != nil && !(mark.hasPrefix(":") && found == "")
            if isPresent { return found ?? "" }
            if mark.hasSuffix("-") { return word }
            throw Problem(message: "required variable \(name) is missing a value: \(word)")
        }
        return variables[expression] ?? ""
    }

    private static func split(_ text: String, at mark: String) -> (String, String)? {
        let (bytes, pattern) = (Array(text.utf8), Array(mark.utf8))
        guard bytes.count >= pattern.count else { return nil }
        for start in 0...(bytes.count - pattern.count)
        where bytes[start..<(start + pattern.count)].elementsEqual(pattern) {
            return (Self.text(bytes[..<start]), Self.text(bytes[(start + pattern.count)...]))
        }
        return nil
    }
}
