/// A point on the node's monotonic clock, in nanoseconds; only differences mean anything.
package struct Instant: Sendable, Hashable, Comparable {
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package static let zero = Instant(nanoseconds: 0)
    package static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }
    package static func + (instant: Instant, duration: Duration) -> Instant {
        Instant(nanoseconds: instant.nanoseconds.saturatingAdd(duration.wholeNanoseconds))
    }
    package static func - (left: Instant, right: Instant) -> Duration {
        .nanoseconds(left.nanoseconds.saturatingSubtract(right.nanoseconds))
    }
}

/// Wall-clock time as nanoseconds since 1970-01-01T00:00:00Z; Go's zero time is ``zero``.
///
/// Encoded as RFC 3339 with up to nine digits of fraction, trailing zeros trimmed, as Go does.
package struct Timestamp: Sendable, Hashable, Comparable {
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// Go's `time.Time{}`, printed as `0001-01-01T00:00:00Z`.
    package static let zero = Timestamp(nanoseconds: .min)
    package static func < (left: Timestamp, right: Timestamp) -> Bool { left.nanoseconds < right.nanoseconds }
    package static func + (time: Timestamp, duration: Duration) -> Timestamp {
        Timestamp(nanoseconds: time.nanoseconds.saturatingAdd(duration.wholeNanoseconds))
    }
    package static func - (left: Timestamp, right: Timestamp) -> Duration {
        .nanoseconds(left.nanoseconds.saturatingSubtract(right.nanoseconds))
    }
    /// A number of seconds since 1970, saturating at about 292 years from then.
    /// - Returns: nil for what is no number.
    package init?(seconds: Double) {
        guard !seconds.isNaN else { return nil }
        self.init(nanoseconds: Int64(exactly: (seconds * 1e9).rounded()) ?? (seconds < 0 ? .min + 1 : .max))
    }

    /// Whole seconds since 1970.
    package var seconds: Int64 {
        nanoseconds == .min ? -62_135_596_800 : nanoseconds.floorDivided(by: 1_000_000_000)
    }
}

extension Duration {
    /// The length in whole nanoseconds, saturating at about 292 years.
    package var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return seconds < 0 ? .min : .max }
        return product.saturatingAdd(attoseconds / 1_000_000_000)
    }
}

extension Int64 {
    func saturatingAdd(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }

    func saturatingSubtract(_ other: Int64) -> Int64 {
        let (difference, overflow) = subtractingReportingOverflow(other)
        return overflow ? (other < 0 ? .max : .min) : difference
    }

    func floorDivided(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}

extension Timestamp: CustomStringConvertible {
    /// RFC 3339 in UTC; see ``Timestamp``.
    package var description: String { formatted(fractionDigits: nil) }

    /// RFC 3339 in UTC with exactly nine digits of fraction, as log lines show it.
    package var descriptionWithFixedFraction: String { formatted(fractionDigits: 9) }

    private func formatted(fractionDigits: Int?) -> String {
        guard nanoseconds != .min else { return "0001-01-01T00:00:00Z" }
        let seconds = self.seconds
        let fraction = Int(nanoseconds - seconds * 1_000_000_000)
        let days = seconds.floorDivided(by: 86_400)
        let secondOfDay = Int(seconds - days * 86_400)
        let (year, month, day) = CivilDate.date(days: Int(days))
        // Lists of tasks have tens of thousands of times: digits go straight into bytes.
        var text: [UInt8] = []
        text.reserveCapacity(30)
        func append(_ value: Int, _ width: Int) {
            var scale = 1
            for _ in 1..<width { scale *= 10 }
            while scale > 0 {
                text.append(UInt8(ascii: "0") + UInt8(value / scale % 10))
                scale /= 10
            }
        }
        append(year, 4)
        for (mark, value) in [
            ("-", month), ("-", day), ("T", secondOfDay / 3600), (":", secondOfDay / 60 % 60), (":", secondOfDay % 60),
        ] as [(Unicode.Scalar, Int)] {
            text.append(UInt8(ascii: mark))
            append(value, 2)
        }
        if fraction > 0 || fractionDigits != nil {
            text.append(UInt8(ascii: "."))
            append(fraction, 9)
            if fractionDigits == nil { while text.last == UInt8(ascii: "0") { text.removeLast() } }
        }
        text.append(UInt8(ascii: "Z"))
        return String(decoding: text, as: UTF8.self)
    }

    /// Parses RFC 3339 with `Z` or a numeric offset; nil when malformed.
    package init?(_ text: String) {
        var rest = Substring(text)
        func number(_ width: Int) -> Int? {
            guard rest.utf8.count >= width, rest.prefix(width).allSatisfy({ $0.isASCII && $0.isNumber })
            else {
                return nil
            }
            defer { rest = rest.dropFirst(width) }
            return Int(rest.prefix(width))
        }
        func skip(_ characters: Set<Character>) -> Character? {
            guard let first = rest.first, characters.contains(first) else { return nil }
            rest = rest.dropFirst()
            return first
        }
        guard let year = number(4), skip(["-"]) != nil, let month = number(2), (1...12).contains(month),
            skip(["-"]) != nil, let day = number(2), (1...31).contains(day), skip(["T", "t", " "]) != nil,
            let hour = number(2), hour < 24, skip([":"]) != nil, let minute = number(2), minute < 60,
            skip([":"]) != nil, let second = number(2), second <= 60
        else { return nil }
        var fraction: Int64 = 0
        if skip(["."]) != nil {
            var scale: Int64 = 100_000_000
            while let digit = rest.first?.wholeNumberValue, rest.first?.isASCII == true {
                fraction += Int64(digit) * scale
                scale /= 10
                rest = rest.dropFirst()
            }
        }
        var offset = 0
        if skip(["Z", "z"]) == nil {
            guard let sign = skip(["+", "-"]), let hours = number(2), skip([":"]) != nil,
                let minutes = number(2)
            else { return nil }
            offset = (hours * 60 + minutes) * 60 * (sign == "-" ? -1 : 1)
        }
        guard rest.isEmpty else { return nil }
        if year == 1 && month == 1 && day == 1 && hour == 0 && minute == 0 && second == 0 {
            self = .zero
            return
        }
        guard (1678...2261).contains(year) else { return nil }
        let days = CivilDate.days(year: year, month: month, day: day)
        let seconds = Int64(days) * 86_400 + Int64(hour * 3600 + minute * 60 + second - offset)
        self.init(nanoseconds: seconds * 1_000_000_000 + fraction)
    }
}

extension Timestamp: Codable {
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let time = Timestamp(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "\"\(text)\" is not an RFC 3339 time")
            )
        }
        self = time
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// Days since 1970 to and from the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date
/// algorithms").
enum CivilDate {
    static func days(year: Int, month: Int, day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    static func date(days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}
