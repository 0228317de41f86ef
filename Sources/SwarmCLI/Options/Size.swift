package import SwarmCore

/// Amounts of memory and of processors.
package enum Size {
    /// `512m`, `1.5GiB`, `100`: multiples of 1024.
    package static func bytes(_ text: String) throws(SwarmError) -> Int64 {
        let lower = text.lowercased()
        let digits = lower.prefix { $0 == "." || ("0"..."9").contains($0) }
        guard let number = Double(digits), number >= 0 else {
            throw SwarmError(.invalidArgument, "invalid size: '\(text)'")
        }
        var suffix = lower.dropFirst(digits.count)
        if suffix.first == " " { suffix = suffix.dropFirst() }
        let letters = ["b", "k", "m", "g", "t", "p"]
        let bare =
            suffix.hasSuffix("ib")
            ? suffix.dropLast(2) : suffix.count > 1 && suffix.hasSuffix("b") ? suffix.dropLast() : suffix
        guard suffix.isEmpty || (bare.count == 1 && letters.contains(String(bare))) else {
            throw SwarmError(.invalidArgument, "invalid suffix: '\(suffix)'")
        }
        let power = letters.firstIndex(of: String(bare)) ?? 0
        let value = (0..<power).reduce(number) { total, _ in total * 1024 }
        guard value < 9.2e18 else { throw SwarmError(.invalidArgument, "invalid size: '\(text)'") }
        return Int64(value)
    }

    /// Processors in decimal as billionths; nothing finer.
    package static func nanoCPUs(_ text: String) throws(SwarmError) -> Int64 {
        let isNegative = text.hasPrefix("-")
        let parts = (isNegative ? text.dropFirst() : text[...]).split(
            separator: ".", omittingEmptySubsequences: false)
        let isNumber = parts.allSatisfy { $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
        guard (1...2).contains(parts.count), isNumber, parts.contains(where: { !$0.isEmpty }) else {
            throw SwarmError(.invalidArgument, "failed to parse \(text) as a rational number")
        }
        var fraction = parts.count == 2 ? parts[1] : ""
        while fraction.last == "0" { fraction = fraction.dropLast() }
        guard fraction.count <= 9 else { throw SwarmError(.invalidArgument, "value is too precise") }
        let padded = fraction + String(repeating: "0", count: 9 - fraction.count)
        let (whole, part) = (Int64(parts[0].isEmpty ? "0" : parts[0]), Int64(padded))
        guard let whole, let part, whole < 9_000_000_000 else {
            throw SwarmError(.invalidArgument, "failed to parse \(text) as a rational number")
        }
        return (whole * 1_000_000_000 + part) * (isNegative ? -1 : 1)
    }

    /// Billionths of a processor as a decimal: `0.5`, `2`.
    package static func cpus(_ nano: Int64) -> String { shortest(Double(nano) / 1e9, digits: 9) }

    private static let decimalUnits = ["B", "kB", "MB", "GB", "TB", "PB"]

    /// In multiples of 1000 with three significant digits: `1.98MB`.
    package static func human(_ bytes: Int64) -> String {
        scaled(Double(bytes), by: 1000, decimalUnits, digits: 3, separator: "")
    }

    /// In multiples of 1000 with four significant digits: `1.984MB`.
    package static func humanLong(_ bytes: Int64) -> String {
        scaled(Double(bytes), by: 1000, decimalUnits, digits: 4, separator: "")
    }

    /// In multiples of 1024 with four significant digits: `7.745GiB`.
    package static func humanBinary(_ bytes: Int64) -> String {
        scaled(Double(bytes), by: 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], digits: 4, separator: "")
    }

    private static func scaled(
        _ value: Double, by base: Double, _ units: [String], digits: Int, separator: String
    ) -> String {
        var (value, unit) = (value, 0)
        while value >= base && unit < units.count - 1 {
            value /= base
            unit += 1
        }
        return shortest(value, significant: digits) + separator + units[unit]
    }

    /// At most so many significant digits, no trailing zeros.
    static func shortest(_ value: Double, significant: Int) -> String {
        var whole = 1
        var limit = 10.0
        while value >= limit && whole < significant {
            whole += 1
            limit *= 10
        }
        return shortest(value, digits: significant - whole)
    }

    /// At most so many digits after the point, no trailing zeros.
    static func shortest(_ value: Double, digits: Int) -> String {
        let scale = (0..<digits).reduce(1.0) { total, _ in total * 10 }
        let scaled = Int64((value.magnitude * scale).rounded())
        let sign = value < 0 && scaled != 0 ? "-" : ""
        guard digits > 0 else { return sign + String(scaled) }
        var fraction = String(scaled % Int64(scale))
        fraction = String(repeating: "0", count: digits - fraction.count) + fraction
        while fraction.last == "0" { fraction.removeLast() }
        let whole = String(scaled / Int64(scale))
        return sign + (fraction.isEmpty ? whole : whole + "." + fraction)
    }
}

extension Timestamp {
    /// As Go prints a time: `2026-11-24 23:31:39.39 +0000 UTC`.
    package var goDescription: String {
        description.replacing("T", with: " ").replacing("Z", with: " +0000 UTC")
    }
    /// As the stock client's `inspect --pretty` has it, in small letters.
    package var prettyDescription: String { goDescription.lowercased() }
}

/// How long ago something was, in Docker's rounding.
package enum Age {
    package static func text(_ duration: Duration) -> String {
        let seconds = max(0, duration.components.seconds)
        let minutes = seconds / 60
        let hours = Int64((Double(seconds) / 3600).rounded())
        switch seconds {
        case ..<1: return "Less than a second"
        case 1: return "1 second"
        case ..<60: return "\(seconds) seconds"
        case ..<120: return "About a minute"
        case ..<3600: return "\(minutes) minutes"
        default: break
        }
        switch hours {
        case 1: return "About an hour"
        case ..<48: return "\(hours) hours"
        case ..<(24 * 7 * 2): return "\(hours / 24) days"
        case ..<(24 * 30 * 2): return "\(hours / 24 / 7) weeks"
        case ..<(24 * 365 * 2): return "\(hours / 24 / 30) months"
        default: return "\(seconds / 3600 / 24 / 365) years"
        }
    }
}
